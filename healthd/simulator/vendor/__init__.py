"""Devices that speak protocols of their makers."""
