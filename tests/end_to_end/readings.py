"""Numbers of packets, read by hand: what must be published owes nothing to the decoders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Values = dict[str, Any]
Range = tuple[float, float]

KCAL = 1 / 4.184
"""What kilocalories are divided by to be kilojoules."""


@dataclass(frozen=True)
class Topic:
    """One measurement of a device.

    Attributes:
        kind: last level of its topic.
        uuid: of the characteristic that it is made of.
        read: what a sample has to hold, given the packets that it is made of; None if they make
            no sample of this kind.
        packets: how many that are.
        within: what is derived, and what it must lie between.
        samples: how many are waited for.
        number: what tells their order, where live ones are sent between those that were stored.
    """

    kind: str
    uuid: str
    read: Callable[..., Values | None]
    packets: int = 1
    within: Mapping[str, Range] = field(default_factory=dict[str, Range])
    samples: int = 5
    number: str | None = None


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
    """The mantissa of an SFLOAT that is not negative."""
    return u16(packet, at) & 0x7FF


Number = Callable[[bytes, int], int]


def reading(**fields: tuple[Number, int, float]) -> Callable[[bytes], Values]:
    """Keys with the number behind them, where it stands, and what it is divided by."""

    def read(packet: bytes) -> Values:
        return {key: number(packet, at) / by for key, (number, at, by) in fields.items()}

    return read
