"""Keeps services running, and systemd informed."""
