"""Heart rates in one byte, as several services send them."""

# Sensors send 0 without a signal. The services name no code for it, and machines without a strap
# also send the highest number of the byte (cagnulein/qdomyos-zwift PR #4013).
NO_RATE_U8 = 0xFF
"""Sent instead of a rate in one byte: no heart rate. In two bytes, 255 is a rate."""


def known_rate(raw: int) -> int | None:
    """Return a rate of one byte, in /min; None for 0 and 255, which mean "no heart rate"."""
    return None if raw in (0, NO_RATE_U8) else raw
