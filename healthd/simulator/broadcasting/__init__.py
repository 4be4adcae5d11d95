"""Models of devices that only advertise."""
