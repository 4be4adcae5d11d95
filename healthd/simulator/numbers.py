"""Numbers and times in the forms that health devices send (IEEE 11073-20601, GATT)."""

import struct
from datetime import datetime

# SFLOAT: a mantissa of 12 bits and an exponent of 4, both two's complement.
NOT_A_NUMBER = bytes.fromhex("ff07")


def sfloat(value: float, exponent: int) -> bytes:
    """A number of 16 bits.

    Args:
        value: the number.
        exponent: the power of ten of its last digit, -8 to 7.

    Raises:
        ValueError: more than four digits would be needed.
    """
    mantissa = round(value / 10**exponent) if exponent >= 0 else round(value * 10**-exponent)
    # The five highest and lowest mantissas mean "not a number" and the like.
    if not -2046 < mantissa < 2046:
        raise ValueError(f"{value} does not fit into SFLOAT with exponent {exponent}")
    return struct.pack("<H", (exponent & 0xF) << 12 | mantissa & 0xFFF)


def float32(value: float, exponent: int) -> bytes:
    """A number of 32 bits: a mantissa of 24 and an exponent of 8, both two's complement."""
    mantissa = round(value / 10**exponent) if exponent >= 0 else round(value * 10**-exponent)
    return struct.pack("<I", (exponent & 0xFF) << 24 | mantissa & 0xFFFFFF)


def date_time(moment: datetime) -> bytes:
    """Year, month, day, hours, minutes and seconds in 7 bytes; no time zone."""
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
    """An integer of 24 bits; a negative one in two's complement."""
    return (value & 0xFFFFFF).to_bytes(3, "little")
