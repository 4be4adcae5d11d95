"""Radio traffic of peripherals as data: the lines of a capture file."""
