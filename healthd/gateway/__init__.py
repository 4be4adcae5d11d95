"""One gateway: its parts, wired, started, stopped and reloaded."""
