"""Encode numbers and times as health devices send them (IEEE 11073-20601, GATT)."""

import struct
from datetime import datetime

# SFLOAT: a 12-bit mantissa and a 4-bit exponent, both in two's complement.
NOT_A_NUMBER = bytes.fromhex("ff07")


def sfloat(value: float, exponent: int) -> bytes:
    """Encode a number in 16 bits.

    Args:
        value: The number.
        exponent: The power of ten of its last digit, -8 to 7.

    Raises:
        ValueError: The mantissa is outside -2045 to 2045.
    """
    mantissa = round(value / 10**exponent) if exponent >= 0 else round(value * 10**-exponent)
    # The mantissas beyond these limits are reserved for "not a number" and other special values.
    if not -2046 < mantissa < 2046:
        raise ValueError(f"{value} does not fit into SFLOAT with exponent {exponent}")
    return struct.pack("<H", (exponent & 0xF) << 12 | mantissa & 0xFFF)


def float32(value: float, exponent: int) -> bytes:
    """Encode a number in 32 bits: a 24-bit mantissa, an 8-bit exponent, both two's complement."""
    mantissa = round(value / 10**exponent) if exponent >= 0 else round(value * 10**-exponent)
    return struct.pack("<I", (exponent & 0xFF) << 24 | mantissa & 0xFFFFFF)


def date_time(moment: datetime) -> bytes:
    """Encode year, month, day, hours, minutes and seconds in 7 bytes, without a time zone."""
    return struct.pack(
        "<H5B",
        moment.year,
        moment.month,
        moment.day,
        moment.hour,
        moment.minute,
        moment.second,
    )


def int24(value: int) -> bytes:
    """Encode an integer in 24 bits; a negative integer in two's complement."""
    return (value & 0xFFFFFF).to_bytes(3, "little")
