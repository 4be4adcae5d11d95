"""The radio side: finding peripherals, connecting to them, and handling faults."""
