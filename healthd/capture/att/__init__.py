"""ATT: what a link says about the values of a device."""
