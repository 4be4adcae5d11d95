"""Devices for health: what is measured now and then, and what is kept to be fetched."""
