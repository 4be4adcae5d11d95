"""How packets are read."""
