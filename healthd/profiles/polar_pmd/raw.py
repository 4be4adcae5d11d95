"""Reads samples that are not compressed from a PMD frame's payload."""

import struct
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, NamedTuple

# By the highest byte of a number: the byte that extends its sign to a longer number.
_SIGN_OF_BYTE = bytes(0xFF if byte & 0x80 else 0 for byte in range(256))

_FLOAT = struct.Struct("<f")

# Light settings are integration counts, then as many pairs of gains for two light channels.
_GAIN_BITS = 0x07


class Samples(NamedTuple):
    """Samples that were read.

    Attributes:
        values: the samples, in the form of the model's field; a dictionary if they fill several.
        used: bytes that were read; the rest is the start of an incomplete sample.
        truncated: whether something else than the start of a sample was dropped.
    """

    values: Any
    used: int
    truncated: bool = False


Read = Callable[[bytes], Samples]
"""Reads the samples of a frame's payload; accepts any bytes."""


def numbers(code: str) -> Read:
    """Return a reader of numbers with this code of the struct module."""
    size = struct.calcsize(f"<{code}")

    def read(payload: bytes) -> Samples:
        count = len(payload) // size
        return Samples(struct.unpack_from(f"<{count}{code}", payload), count * size)

    return read


def numbers_of_24_bits(payload: bytes) -> Samples:
    """Read signed numbers of 3 bytes; widens all at once, in a third of the time of one by one."""
    count = len(payload) // 3
    used = count * 3
    wide = bytearray(count * 4)
    wide[0::4] = payload[0:used:3]
    wide[1::4] = payload[1:used:3]
    wide[2::4] = highest = payload[2:used:3]
    wide[3::4] = highest.translate(_SIGN_OF_BYTE)
    return Samples(struct.unpack(f"<{count}i", wide), used)


def in_rows(read_numbers: Read, channels: int, size: int) -> Read:
    """Return a reader of samples of ``channels`` numbers, each of ``size`` bytes."""
    step = channels * size

    def read(payload: bytes) -> Samples:
        used = len(payload) // step * step
        return Samples(rows(read_numbers(payload[:used]).values, channels), used)

    return read


def rows(flat: Iterable[Any], channels: int) -> list[tuple[Any, ...]]:
    """Group consecutive numbers into samples of several channels."""
    each = iter(flat)
    return list(zip(*[each] * channels, strict=True))


def floats(payload: bytes) -> Samples:
    """Read floats of 4 bytes; None for NaN and infinity."""
    found = numbers("f")(payload)
    return Samples(finite(found.values), found.used)


def finite(values: Iterable[float]) -> list[float | None]:
    """Return the decimals of 4-byte floats; None for NaN and infinity, which JSON does not have."""
    return [decimal(value) if isfinite(value) else None for value in values]


def decimal(value: float) -> float:
    """Return the short decimal that a 4-byte float was made from: 0.061 for 0.061000000685453415.

    A value that six digits do not reproduce, such as a binary fraction, has nine.
    """
    short = float(f"{value:.6g}")
    return short if _FLOAT.pack(short) == _FLOAT.pack(value) else float(nine_digits(value))


def nine_digits(value: float) -> str:
    """Return a number with nine digits, which distinguish all 4-byte floats (IEEE 754)."""
    return f"{value:.9g}"


def pp_samples(payload: bytes) -> Samples:
    """Read pulse-to-pulse samples: rate u8 (/min), interval u16 (ms), error u16 (ms), flags u8.

    In the vendor's code bit 2 means that contact is supported, in its specification the opposite.
    The code is what runs with real sensors.
    """
    used = len(payload) // 6 * 6
    samples = [*struct.iter_unpack("<BHHB", payload[:used])]
    values = {
        "heart_rate_bpm": [rate for rate, *_ in samples],
        "pp_intervals_ms": [interval for _, interval, *_ in samples],
        "error_ms": [error for _, _, error, _ in samples],
        "blocker": [bool(flags & 0x01) for *_, flags in samples],
        "skin_contact": [bool(flags & 0x02) for *_, flags in samples],
        "skin_contact_supported": [bool(flags & 0x04) for *_, flags in samples],
    }
    return Samples(values, used)


def lights(count: int) -> Read:
    """Return a reader of ``count`` integration counts u8, then pairs of gains (3 bits in a u8)."""
    size = count * 3

    def read(payload: bytes) -> Samples:
        used = len(payload) // size * size
        blocks = [payload[at : at + size] for at in range(0, used, size)]
        gains = [gain & _GAIN_BITS for block in blocks for gain in block[count:]]
        values = {
            "light_integrations": [number for block in blocks for number in block[:count]],
            "light_gains_1": gains[0::2],
            "light_gains_2": gains[1::2],
        }
        return Samples(values, used)

    return read
