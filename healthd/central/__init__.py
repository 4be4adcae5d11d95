"""The radio side: finding peripherals, linking them, living with their faults."""
