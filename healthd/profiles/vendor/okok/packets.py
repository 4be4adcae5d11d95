"""The four layouts of OKOK's manufacturer data, without the company id."""

from collections.abc import Sequence

from healthd.errors import DecodeError
from healthd.profiles.common.scales import FAILED, pounds
from healthd.profiles.packet.crc import xor_of
from healthd.profiles.packet.wires import Meaning, scaled
from healthd.profiles.weight_scale import Weight

# More is not the impedance of a body; the same bound as for Xiaomi's scales.
_MOST_TENTHS_OHM = 30_000

_STABLE = 0x01

# By the number in bits 1 and 2 of the attributes: steps per unit. 3 has not been seen, and the
# sources guess.
_STEPS = {0: 10, 1: 1, 2: 100}

_POUNDS_PER_STONE = 14

_SIZE_C0, _SIZE_20CA, _SIZE_11CA, _SIZE_F0FF = 13, 19, 23, 18
_CHECKSUM_20CA, _CHECKSUM_11CA = 12, 16

# In public packets the address is whole, or a part of it is missing (openScale issue 1309), or one
# byte more follows.
_SIZES_C0 = (9, _SIZE_C0, 14)

# What packets of 0xF0FF begin with (openScale issue 930, okokscale.py).
_MAGIC_F0FF = b"\x02\x04"


def _in_kg(steps: int) -> Sequence[Meaning]:
    """Return the conversions of a weight by its unit: kg, jin (0.5 kg), lb, stones and lb."""
    in_pounds = pounds(steps)

    def in_stones(raw: int) -> float | None:
        stones, rest = divmod(raw, 256)
        return None if raw == FAILED else in_pounds(stones * _POUNDS_PER_STONE * steps + rest)

    return scaled(steps, none=FAILED), scaled(2 * steps, none=FAILED), in_pounds, in_stones


_CONVERSIONS = {code: _in_kg(steps) for code, steps in _STEPS.items()}
_TENTHS, _HUNDREDTHS = _CONVERSIONS[0][0], _CONVERSIONS[2][0]


def _weight(raw: int, attributes: int) -> float | None:
    decimals, unit = attributes >> 1 & 0x03, attributes >> 3 & 0x03
    if decimals not in _CONVERSIONS:
        raise DecodeError(f"attributes {attributes:#04x}: unknown number of decimals")
    kg: float | None = _CONVERSIONS[decimals][unit](raw)
    return kg


def _impedance(data: bytes, at: int) -> float | None:
    tenths = _u16(data, at)
    return tenths / 10 if 0 < tenths <= _MOST_TENTHS_OHM else None


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _require(data: bytes, size: int) -> None:
    if len(data) < size:
        raise DecodeError(f"expected {size} bytes, found {len(data)}")


def _check(data: bytes, at: int, *before: int) -> None:
    """Check the XOR of the bytes up to its place and of those before the data."""
    expected = xor_of(bytes((*before, *data[:at])))
    if data[at] != expected:
        raise DecodeError(f"checksum {data[at]:#04x}, expected {expected:#04x}")


def _surplus(data: bytes, size: int) -> dict[str, int]:
    return {"trailing_bytes": len(data) - size} if len(data) > size else {}


def decode_okok(data: bytes) -> Weight:
    """Decode the data of 0x??C0, all big endian: weight u16, impedance u16 (0.1 ohm), 2 bytes, u8.

    The last byte has the attributes: 0 stable, 1-2 decimals, 3-4 unit. The address follows. Stones
    are in the high byte of the weight, pounds in the low one.
    """
    _require(data, 7)
    return Weight.of(
        {
            "weight_kg": _weight(_u16(data, 0), data[6]),
            "impedance_ohm": _impedance(data, 2),
            "stabilized": bool(data[6] & _STABLE),
            **_surplus(data, _SIZE_C0),
        }
    )


def decode_20ca(data: bytes) -> Weight:
    """Decode the data of 0x20CA: attributes at 6, weight u16 at 8, impedance u16 at 10, XOR at 12.

    Attributes: 0 stable, 2 hundredths of a kg, else tenths. Big endian; the address follows.
    """
    _require(data, _CHECKSUM_20CA + 1)
    _check(data, _CHECKSUM_20CA, 0x20)
    in_kg = _HUNDREDTHS if data[6] & 0x04 else _TENTHS
    return Weight.of(
        {
            "weight_kg": in_kg(_u16(data, 8)),
            "impedance_ohm": _impedance(data, 10),
            "stabilized": bool(data[6] & _STABLE),
            **_surplus(data, _SIZE_20CA),
        }
    )


def decode_11ca(data: bytes) -> Weight:
    """Decode the data of 0x11CA: lock at 1, weight u16 at 3, attributes at 9, XOR at 16.

    Attributes as in `decode_okok`. Big endian; the address follows.
    """
    _require(data, _CHECKSUM_11CA + 1)
    _check(data, _CHECKSUM_11CA, 0xCA, 0x11)
    return Weight.of(
        {
            "weight_kg": _weight(_u16(data, 3), data[9]),
            # The protocol of the maker has a lock of its own (openScale issue 496).
            "stabilized": bool((data[1] | data[9]) & _STABLE),
            **_surplus(data, _SIZE_11CA),
        }
    )


def decode_f0ff(data: bytes) -> Weight:
    """Decode the data of 0xF0FF: weight u16 (0.1 kg, little endian) at 2.

    The address ends it. It does not say whether the weight is stable.
    """
    _require(data, 4)
    return Weight.of(
        {"weight_kg": _TENTHS(int.from_bytes(data[2:4], "little")), **_surplus(data, _SIZE_F0FF)}
    )


def fits_okok(data: bytes) -> bool:
    """Return whether the data of 0x??C0 is from a scale."""
    is_known = data[6:7] and data[6] & 0xC0 == 0 and data[6] >> 1 & 0x03 in _CONVERSIONS
    return len(data) in _SIZES_C0 and bool(is_known)


def fits_20ca(data: bytes) -> bool:
    """Return whether the data of 0x20CA is from a scale."""
    return len(data) == _SIZE_20CA


def fits_11ca(data: bytes) -> bool:
    """Return whether the data of 0x11CA is from a scale."""
    return len(data) == _SIZE_11CA


def fits_f0ff(data: bytes) -> bool:
    """Return whether the data of 0xF0FF is from a scale."""
    return len(data) == _SIZE_F0FF and data.startswith(_MAGIC_F0FF)
