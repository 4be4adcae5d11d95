"""A Polar H10: a chest strap that also streams raw signals."""
