"""Peripherals whose samples are numbered: what was sent, and what arrived of it."""

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
    """A heart whose payloads are numbered; the number is sent as the energy expended."""

    def __init__(self) -> None:
        """Start at one."""
        self._made = 0

    def payload(self, elapsed: float) -> bytes:
        """See ``HeartSource``; the elapsed time does not matter."""
        self._made += 1
        return struct.pack(
            _LAYOUT, _FLAGS, rate_of(self._made), self._made, interval_of(self._made)
        )

    def reset_energy(self) -> None:
        """See ``HeartSource``; the numbers continue."""


def rate_of(number: int) -> int:
    """Return the heart rate of a numbered sample, in beats per minute."""
    return 50 + number % 100


def interval_of(number: int) -> int:
    """Return the RR interval of a numbered sample, in 1/1024 s."""
    return 500 + number % 500


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message with one sample.

    Attributes:
        at: when it arrived, in seconds of the monotonic clock.
        id: the stable id of the sample, the same in each delivery.
        intact: whether its values are those that were sent.
    """

    at: float
    id: str
    intact: bool


@dataclass
class Numbered:
    """A peripheral, and its samples at both ends.

    Attributes:
        id: its id in healthd's settings.
        address: its Bluetooth address.
        sent: when each number was handed to the link, or reported by the adapter.
        arrived: what the subscriber received of each number.
        unsure: sent numbers that need not arrive, because they were only partly sent.
    """

    id: str
    address: str
    sent: dict[int, float] = field(default_factory=dict[int, float])
    arrived: dict[int, list[Arrival]] = field(default_factory=lambda: defaultdict(list))
    unsure: set[int] = field(default_factory=set[int])

    def first_after(self, moment: float) -> tuple[int, float] | None:
        """Return the first arrived sample that was sent after a moment, and when it arrived."""
        for number, sent_at in self.sent.items():
            if sent_at > moment and (arrivals := self.arrived.get(number)):
                return number, arrivals[0].at
        return None

    def streams_since(self, moment: float) -> bool:
        """Return whether a sample that was sent after the moment has arrived."""
        return self.first_after(moment) is not None


@dataclass
class Strap(Numbered):
    """A device that is linked and sends its samples over the link."""

    _peripheral: VirtualPeripheral | None = None

    @property
    def peripheral(self) -> VirtualPeripheral:
        """The device itself, which can be made to fail."""
        assert self._peripheral is not None, self.id
        return self._peripheral

    def built(self, peripheral: VirtualPeripheral) -> None:
        """Set the device."""
        self._peripheral = peripheral

    def record(self, sent: Sent) -> None:
        """Note that the device handed a notification to the link."""
        if sent.uuid == _HEART_RATE:
            self.sent[struct.unpack(_LAYOUT, sent.payload)[2]] = sent.at
