"""Chest straps whose every sample is known by its number."""

import struct
from collections import defaultdict
from dataclasses import dataclass, field

from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral

_HEART_RATE = "00002a37-0000-1000-8000-00805f9b34fb"
# Contact supported and detected, energy present, RR intervals present.
_FLAGS = 0b11110
_LAYOUT = "<BBHH"


class NumberedHeart:
    """Payloads of which each has a number of its own: it travels as the energy expended."""

    def __init__(self) -> None:
        """Start at one."""
        self._made = 0

    def payload(self, elapsed: float) -> bytes:
        """See ``HeartSource``; how much time has passed does not matter."""
        self._made += 1
        return struct.pack(
            _LAYOUT, _FLAGS, rate_of(self._made), self._made, interval_of(self._made)
        )

    def reset_energy(self) -> None:
        """See ``HeartSource``; the number goes on."""


def rate_of(number: int) -> int:
    """The heart rate of a numbered sample, in beats a minute."""
    return 50 + number % 100


def interval_of(number: int) -> int:
    """The RR interval of a numbered sample, in 1/1024 s."""
    return 500 + number % 500


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message with one sample.

    Attributes:
        at: when it came, in seconds of the monotonic clock.
        id: the sample's stable id; a second delivery of the same sample carries the same one.
        intact: whether it says what was sent.
    """

    at: float
    id: str
    intact: bool


@dataclass
class Strap:
    """A strap, and what is known of its samples at both ends.

    Attributes:
        id: in healthd's settings.
        address: its Bluetooth address.
        peripheral: what can be made to fail.
        sent: when each number was handed to the link.
        arrived: what came of each number at the subscriber.
    """

    id: str
    address: str
    sent: dict[int, float] = field(default_factory=dict[int, float])
    arrived: dict[int, list[Arrival]] = field(default_factory=lambda: defaultdict(list))
    _peripheral: VirtualPeripheral | None = None

    @property
    def peripheral(self) -> VirtualPeripheral:
        """The device itself."""
        assert self._peripheral is not None, self.id
        return self._peripheral

    def built(self, peripheral: VirtualPeripheral) -> None:
        """The device is there."""
        self._peripheral = peripheral

    def record(self, sent: Sent) -> None:
        """The device handed a notification to the link."""
        if sent.uuid == _HEART_RATE:
            self.sent[struct.unpack(_LAYOUT, sent.payload)[2]] = sent.at

    def first_after(self, moment: float) -> tuple[int, float] | None:
        """The first sample sent after a moment that has arrived, and when it did."""
        for number, sent_at in self.sent.items():
            if sent_at > moment and (came := self.arrived.get(number)):
                return number, came[0].at
        return None

    def streams_since(self, moment: float) -> bool:
        """Whether a sample sent after the moment has arrived."""
        return self.first_after(moment) is not None
