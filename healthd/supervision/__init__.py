"""Keeps services alive: restart policy."""
