"""The machine that healthd runs on, and its own process."""
