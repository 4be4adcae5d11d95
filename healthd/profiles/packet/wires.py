"""How single values lie in a packet, and what their numbers mean.

A wire is a size and a sign; a meaning turns its number into the canonical value, with None for
"not available". Layouts: GATT Specification Supplement; floats: IEEE 11073-20601, annex F.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from healthd.samples import Timestamp

# Beyond it, with exponent 0, the reserved codes begin.

# Of one bit field; a hostile device could send them all.
_STATES = 32

Meaning = Callable[[Any], Any]
"""From a wire's value to the canonical one; None is "not available"."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A value's form in a packet.

    Attributes:
        code: of the struct module; it stands for exactly one value.
        name: in error messages.
        read: from what struct gives to the wire's value; None where that is the same.
    """

    code: str
    name: str
    read: Meaning | None = None


def sfloat(raw: int, shift: int = 0) -> float | None:
    """IEEE 11073 SFLOAT: 4 bits of exponent, 12 of mantissa; None for its five reserved codes.

    Args:
        raw: the 16 bits.
        shift: added to the exponent, for a value in other decimal units: multiplied by 1e5
            afterwards, 0.00112 kg/L would be 112.00000000000001 mg/dL.
    """
    # Reserved with exponent 0 only: NaN, "not at this resolution", both infinities, one unused.
    if raw <= 0x0802:
        if raw >= 0x07FE:
            return None
        # Most pressures and rates, and no arithmetic needed.
        if not shift:
            return float(raw)
    mantissa, exponent = raw & 0x0FFF, raw >> 12
    exponent -= (exponent & 0x08) << 1
    return _decimal(mantissa - ((mantissa & 0x0800) << 1), exponent + shift)


def medical_float(raw: int) -> float | None:
    """IEEE 11073 FLOAT: 8 bits of exponent, 24 of mantissa; None for its five reserved codes."""
    mantissa, exponent = raw & 0xFFFFFF, raw >> 24
    if exponent == 0 and 0x7FFFFE <= mantissa <= 0x800002:
        return None
    return _decimal(mantissa - ((mantissa & 0x800000) << 1), exponent - ((exponent & 0x80) << 1))


def _decimal(mantissa: int, exponent: int) -> float:
    # Whole numbers divided are rounded once: 366 / 10 is 36.6, 366 * 0.1 is not.
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
"""Year, month, day, hour, minute, second."""


def scaled(
    divisor: float, *, factor: float = 1, none: int | None = None, offset: float = 0
) -> Meaning:
    """A number in other units: raw * factor / divisor + offset.

    Args:
        divisor: what is divided by: a division keeps decimals as they are written, 5 / 100 is
            0.05, where 5 * 0.01 may not be.
        factor: what is multiplied with before.
        none: the raw number that means "not available".
        offset: what is added in the end.
    """
    if none is not None:
        return lambda raw: None if raw == none else raw * factor / divisor + offset
    # Called for most fields of each packet: what does not change the number is left out.
    if offset:
        return lambda raw: raw * factor / divisor + offset
    if factor == 1:
        return lambda raw: raw / divisor
    return lambda raw: raw * factor / divisor


def number(none: int) -> Meaning:
    """A number as it is, but for the one that means "not available"."""
    return lambda raw: None if raw == none else raw


def nothing(_: Any) -> dict[str, Any]:
    """A value that is skipped; for a `Field` without a key."""
    return {}


def word(words: Mapping[int, str]) -> Meaning:
    """An enumeration: a number that has no word stays a number."""
    return lambda raw: words.get(raw, raw)


def words(names: Mapping[int, str]) -> Meaning:
    """A bit field: the names of the bits that are set, lowest first; reserved bits are ignored."""
    masks = tuple((1 << bit, name) for bit, name in sorted(names.items()))

    # A device is in a few states, and says so in every packet.
    @lru_cache(maxsize=_STATES)
    def named(raw: int) -> tuple[str, ...]:
        return tuple(name for mask, name in masks if raw & mask)

    return named


def moment(parts: tuple[int, int, int, int, int, int]) -> dict[str, Any]:
    """What ``DATE_TIME`` holds, as the fields of a `samples.DeviceTimed`.

    The device's local time: it has no zone. Year, month and day 0 are unknown; what no calendar
    has (Xiaomi sends month 17) is kept in parts, and has no text.
    """
    year, month, day, hour, minute, second = parts
    # Asked before: an exception costs more than the rest of the packet.
    text = _iso(parts) if year and month and day else None
    known = Timestamp(year or None, month or None, day or None, hour, minute, second)
    return {"device_time": text, "timestamp": known}


def _iso(parts: tuple[int, int, int, int, int, int]) -> str | None:
    try:
        return datetime(*parts).isoformat()  # noqa: DTZ001 - no zone is known
    except ValueError:
        return None


def named_moment(parts: str, text: str) -> Meaning:
    """`moment` for a date that is not the measurement's own, under these two keys."""

    def named(raw: tuple[int, int, int, int, int, int]) -> dict[str, Any]:
        fields = moment(raw)
        return {parts: fields["timestamp"], text: fields["device_time"]}

    return named
