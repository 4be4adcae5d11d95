"""The formats of single values in packets, and what their numbers mean.

A wire is a size and a sign; a meaning converts its number to the canonical value, with None for
"not available". Layouts: GATT Specification Supplement; floats: IEEE 11073-20601, annex F.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from healthd.profiles.packet.resolution import decimals

# No more are left out: 1000 is the greatest round number that anyone measures.
_ZEROS = 3

# The cached values of one bit field; a hostile device could send them all.
_STATES = 32

Meaning = Callable[[Any], Any]
"""Converts a wire's value to the canonical one; None means "not available"."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A value's format in a packet.

    Attributes:
        code: a format of the struct module for exactly one value.
        name: the name for error messages.
        read: converts struct's value to the wire's value; None if they are the same.
    """

    code: str
    name: str
    read: Meaning | None = None


def sfloat(raw: int, shift: int = 0) -> float | None:
    """Decode an IEEE 11073 SFLOAT: 4 bits of exponent, 12 of mantissa.

    Args:
        raw: the 16 bits.
        shift: added to the exponent, for a value in other decimal units. Multiplying afterwards is
            not exact: 0.00112 kg/L * 1e5 is 112.00000000000001 mg/dL.

    Returns:
        None for the five reserved codes.
    """
    # Reserved with exponent 0 only: NaN, "not at this resolution", both infinities, one unused.
    if raw <= 0x0802:
        if raw >= 0x07FE:
            return None
        # Most pressures and rates: no arithmetic needed.
        if not shift:
            return float(raw)
    mantissa = raw & 0x0FFF
    return _decimal(mantissa - ((mantissa & 0x0800) << 1), _signed_4(raw >> 12) + shift)


def medical_float(raw: int) -> float | None:
    """Decode an IEEE 11073 FLOAT: 8 bits of exponent, 24 of mantissa; None if it is reserved."""
    mantissa, exponent = raw & 0xFFFFFF, float_exponent(raw)
    if exponent == 0 and 0x7FFFFE <= mantissa <= 0x800002:
        return None
    return _decimal(mantissa - ((mantissa & 0x800000) << 1), exponent)


def float_exponent(raw: int) -> int:
    """Return the exponent of an IEEE 11073 FLOAT: the decimal step of the device's number."""
    exponent = raw >> 24
    return exponent - ((exponent & 0x80) << 1)


def _decimal(mantissa: int, exponent: int) -> float:
    # A division of whole numbers rounds once: 366 / 10 is 36.6, 366 * 0.1 is not.
    return mantissa / 10**-exponent if exponent < 0 else float(mantissa * 10**exponent)


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _unsigned(data: bytes) -> int:
    return int.from_bytes(data, "little")


U8 = Wire("B", "u8")
S8 = Wire("b", "s8")
U16 = Wire("H", "u16")
S16 = Wire("h", "s16")
U24 = Wire("3s", "u24", _unsigned)
S24 = Wire("3s", "s24", _signed)
U32 = Wire("I", "u32")
S32 = Wire("i", "s32")
SFLOAT = Wire("H", "SFLOAT", sfloat)
FLOAT = Wire("I", "FLOAT", medical_float)
DATE_TIME = Wire("7s", "date-time", struct.Struct("<HBBBBB").unpack)
"""Year, month, day, hour, minute, second; `dates.date_text` makes one text of them."""


def scaled(divisor: int, *, factor: int = 1, none: int | None = None) -> Meaning:
    """Return the conversion raw * factor / divisor, with the decimals that its step needs.

    Args:
        divisor: the divisor. A division keeps decimals exact: 3 / 10 is 0.3, 3 * 0.1 is not.
        factor: multiplied before the division.
        none: the raw number that means "not available".
    """
    convert = _division(divisor, factor)
    if none is None:
        return convert
    return lambda raw: None if raw == none else convert(raw)


def _division(divisor: int, factor: int) -> Meaning:
    step = Fraction(factor, divisor)
    power: int = 10 ** max(decimals(step), 0)
    if step * power % 1:
        # Rounded as a whole number, which takes a third of the time of round().
        multiplier, half = factor * power, divisor // 2
        return lambda raw: (raw * multiplier + half) // divisor / power
    # Called for most fields of each packet, so a step that changes nothing is left out.
    if factor == 1:
        return lambda raw: raw / divisor
    return lambda raw: raw * factor / divisor


def sfloat_in(unit: Fraction, *, shift: int = 0, usual: int = 0) -> Meaning:
    """Return the conversion of an SFLOAT's bits to another unit, with the decimals that it needs.

    Args:
        unit: the value of 1 in the other unit, such as 7.5 for kPa to mmHg.
        shift: see `sfloat`.
        usual: see `step_exponent`.
    """
    factor, digits = float(unit), decimals(unit)

    def convert(raw: int) -> float | None:
        value = sfloat(raw, shift)
        if value is None:
            return None
        return round(value * factor, digits - step_exponent(_signed_4(raw >> 12) + shift, usual))

    return convert


def step_exponent(sent: int, usual: int) -> int:
    """Return the exponent of the step that a device's number has.

    Args:
        sent: the exponent of the number. Some devices leave out zeros: 120 is sent as 12e1, but 121
            as it is.
        usual: the exponent of the coarsest step that devices have.
    """
    return max(min(sent, usual), sent - _ZEROS)


def _signed_4(bits: int) -> int:
    return bits - ((bits & 0x08) << 1)


def number(none: int) -> Meaning:
    """Return a conversion that keeps numbers, except the one that means "not available"."""
    return lambda raw: None if raw == none else raw


def nothing(_: Any) -> dict[str, Any]:
    """Skip a value: the meaning of a `Field` without a key."""
    return {}


def word(words: Mapping[int, str]) -> Meaning:
    """Return the conversion of an enumeration: a number without a word stays a number."""
    return lambda raw: words.get(raw, raw)


def words(names: Mapping[int, str]) -> Meaning:
    """Return the conversion of a bit field to its set bits' names; reserved bits are ignored."""
    masks = tuple((1 << bit, name) for bit, name in sorted(names.items()))

    # A device has few states, and reports its state in every packet.
    @lru_cache(maxsize=_STATES)
    def named(raw: int) -> tuple[str, ...]:
        return tuple(name for mask, name in masks if raw & mask)

    return named
