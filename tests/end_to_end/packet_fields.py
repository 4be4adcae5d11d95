"""Reads fields of packets without the decoders, so that expected values are independent of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

Values = dict[str, Any]
Range = tuple[float, float]

KCAL = 1 / 4.184
"""Divisor that converts kilocalories to kilojoules."""
MG_PER_DL = 18.0156
"""Divisor that converts mg/dL of glucose to mmol/L."""


@dataclass(frozen=True)
class Topic:
    """One measurement of a device.

    Attributes:
        kind: last level of its topic.
        uuid: the characteristic that it is made from.
        read: returns what a sample must contain, given the packets that it is made from; None if
            they make no sample of this kind, a list if they make several.
        packets: number of packets per sample.
        within: keys of derived values, and the range of each.
        samples: number of samples to wait for.
        number: key that orders the samples, if live ones are sent between stored ones.
        order: the same for a key that is no number: then the device also sends what is not new.
        counts: whether a sample is one of those that are compared; others may come between them.
    """

    kind: str
    uuid: str
    read: Callable[..., Values | list[Values] | None]
    packets: int = 1
    within: Mapping[str, Range] = field(default_factory=dict[str, Range])
    samples: int = 5
    number: str | None = None
    order: str | None = None
    counts: Callable[[Mapping[str, Any]], bool] = lambda _: True


def u8(packet: bytes, at: int) -> int:
    return packet[at]


def u16(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 2], "little")


def s16(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 2], "little", signed=True)


def u24(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 3], "little")


def u32(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 4], "little")


def s32(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 4], "little", signed=True)


def digits(packet: bytes, at: int) -> int:
    """Return the mantissa of an SFLOAT that is not negative."""
    return u16(packet, at) & 0x7FF


# The decimals that the resolution of these steps needs, by the divisor that makes the step.
_DECIMALS: Mapping[float, int] = {
    360: 3,
    1024: 4,
    2048: 4,
    256: 3,
    32: 2,
    MG_PER_DL: 2,
}


def divided(number: int, by: float) -> float:
    """Return a published value; converted units are rounded to the device's resolution."""
    if by not in _DECIMALS:
        return number / by
    power = 10 ** _DECIMALS[by]
    return floor(Fraction(number) * power / Fraction(str(by)) + Fraction(1, 2)) / power


Number = Callable[[bytes, int], int]


def reading(**fields: tuple[Number, int, float]) -> Callable[[bytes], Values]:
    """Read each key's number: given its type, its position, and its divisor."""

    def read(packet: bytes) -> Values:
        return {key: divided(number(packet, at), by) for key, (number, at, by) in fields.items()}

    return read
