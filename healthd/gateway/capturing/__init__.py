"""Captures of the running daemon. Loaded when the first one begins: most gateways have none."""
