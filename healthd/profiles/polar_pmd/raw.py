"""How samples that are not compressed fill a PMD frame, from its head to its end."""

import struct
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, NamedTuple

# The byte that continues a number with this highest byte to a longer one.
_SIGN_OF_BYTE = bytes(0xFF if byte & 0x80 else 0 for byte in range(256))

_FLOAT = struct.Struct("<f")

# Light settings: so many integration counts, then as many pairs of gains of two light channels.
_GAIN_BITS = 0x07


class Samples(NamedTuple):
    """What was read.

    Attributes:
        values: in the form that the model's field takes.
        used: bytes that they took; the rest is the start of a sample that is not whole.
        truncated: whether a part was dropped that is not the start of a sample.
    """

    values: Any
    used: int
    truncated: bool = False


Read = Callable[[bytes], Samples]
"""From a frame's payload to its samples; takes any bytes."""


def numbers(code: str) -> Read:
    """Numbers of one form of the struct module."""
    size = struct.calcsize(f"<{code}")

    def read(payload: bytes) -> Samples:
        count = len(payload) // size
        return Samples(struct.unpack_from(f"<{count}{code}", payload), count * size)

    return read


def numbers_of_24_bits(payload: bytes) -> Samples:
    """Signed numbers of 3 bytes: widened to 4 all at once, a third of the time of one by one."""
    count = len(payload) // 3
    used = count * 3
    wide = bytearray(count * 4)
    wide[0::4] = payload[0:used:3]
    wide[1::4] = payload[1:used:3]
    wide[2::4] = highest = payload[2:used:3]
    wide[3::4] = highest.translate(_SIGN_OF_BYTE)
    return Samples(struct.unpack(f"<{count}i", wide), used)


def in_rows(read_numbers: Read, channels: int, size: int) -> Read:
    """Samples of several numbers, each of ``size`` bytes."""
    step = channels * size

    def read(payload: bytes) -> Samples:
        used = len(payload) // step * step
        return Samples(rows(read_numbers(payload[:used]).values, channels), used)

    return read


def rows(flat: Iterable[Any], channels: int) -> list[tuple[Any, ...]]:
    """Numbers that follow each other, as samples of several channels."""
    each = iter(flat)
    return list(zip(*[each] * channels, strict=True))


def floats(payload: bytes) -> Samples:
    """Floats of 4 bytes; None for one that is no number."""
    found = numbers("f")(payload)
    return Samples(finite(found.values), found.used)


def finite(values: Iterable[float]) -> list[float | None]:
    """JSON has neither NaN nor infinity: a sensor that sends one has no value."""
    return [value if isfinite(value) else None for value in values]


def decimal(value: float) -> float:
    """The short decimal that a float of 4 bytes was made from: 0.061, not 0.061000000685453415.

    It stays as it is where six digits make another float of it, as they do of binary fractions.
    """
    short = float(f"{value:.6g}")
    return short if _FLOAT.pack(short) == _FLOAT.pack(value) else value


def pp_samples(payload: bytes) -> Samples:
    """Rate u8 (/min), interval u16 (ms), error u16 (ms), flags u8.

    The vendor's code takes bit 2 for "contact is supported", its specification for the opposite;
    the code is what runs against real sensors.
    """
    used = len(payload) // 6 * 6
    values = [
        {
            "heart_rate_bpm": rate,
            "pp_ms": interval,
            "error_ms": error,
            "blocker": bool(flags & 0x01),
            "skin_contact": bool(flags & 0x02),
            "skin_contact_supported": bool(flags & 0x04),
        }
        for rate, interval, error, flags in struct.iter_unpack("<BHHB", payload[:used])
    ]
    return Samples(values, used)


def lights(count: int) -> Read:
    """Blocks of ``count`` integration counts u8, then ``count`` pairs of gains (3 bits in a u8)."""
    size = count * 3

    def read(payload: bytes) -> Samples:
        used = len(payload) // size * size
        blocks = (payload[at : at + size] for at in range(0, used, size))
        values = [
            {
                "integrations": list(block[:count]),
                "gains_1": [gain & _GAIN_BITS for gain in block[count::2]],
                "gains_2": [gain & _GAIN_BITS for gain in block[count + 1 :: 2]],
            }
            for block in blocks
        ]
        return Samples(values, used)

    return read
