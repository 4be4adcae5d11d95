"""Devices that only advertise, and the AD structures that they send."""

import asyncio
import random
import struct
import time
from collections.abc import Iterable

from tests.system.guest.hearing import Heard, Kind
from tests.system.guest.radio import Radio

# AD types: Bluetooth Assigned Numbers, 2.3.
_FLAGS, _NAME, _SERVICE_DATA, _MANUFACTURER_DATA = 0x01, 0x09, 0x16, 0xFF
# LE General Discoverable, BR/EDR not supported.
FLAGS = bytes([2, _FLAGS, 0x06])
"""The AD structure that most devices begin with; many beacons have none."""


def named(name: str) -> bytes:
    """Return the AD structure with a name."""
    return _structure(_NAME, name.encode())


def service_data(uuid: int, data: bytes) -> bytes:
    """Return the AD structure with the data of a service, by its 16-bit UUID."""
    return _structure(_SERVICE_DATA, struct.pack("<H", uuid) + data)


def manufacturer_data(company: int, data: bytes) -> bytes:
    """Return the AD structure with the data of a maker."""
    return _structure(_MANUFACTURER_DATA, struct.pack("<H", company) + data)


def _structure(kind: int, data: bytes) -> bytes:
    return bytes([1 + len(data), kind]) + data


class _Pace:
    """Something regular. After a stall of the machine nothing is made up for, as no radio does."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._due = time.monotonic()

    async def wait(self) -> None:
        self._due = max(self._due + self._every_s, time.monotonic())
        await asyncio.sleep(self._due - time.monotonic())


class Broadcaster:
    """A device that advertises on call.

    Attributes:
        address: its address; it may change.
        response: its scan response; None if it has none.
        kind: what it accepts.
        is_random: whether its address is a random one.
        reported: how often each of its advertisements was reported to the kernel.
    """

    def __init__(
        self,
        radio: Radio,
        address: str,
        *,
        response: bytes | None = None,
        kind: Kind = Kind.NOT_CONNECTABLE,
        is_random: bool = True,
    ) -> None:
        """Start silent."""
        self._radio = radio
        self.address = address
        self.response = response
        self.kind = kind
        self.is_random = is_random
        self.reported: dict[bytes, int] = {}

    def advertise(self, data: bytes) -> bool:
        """Advertise once; return whether the kernel gets a report of it."""
        heard = Heard(self.address, data, self.response, self.kind, self.is_random)
        reported = self._radio.hear(heard)
        self.reported[data] = self.reported.get(data, 0) + reported
        return reported

    async def advertise_all(
        self, payloads: Iterable[bytes], *, every_s: float = 0.2, times: int = 4
    ) -> None:
        """Advertise one payload after the other, each several times, as most devices do."""
        pace = _Pace(every_s)
        for data in payloads:
            for _ in range(times):
                self.advertise(data)
                await pace.wait()


class Crowd:
    """Foreign devices nearby, which advertise in turn; each time with other data."""

    def __init__(self, radio: Radio, *, devices: int = 200, seed: int = 1) -> None:
        """Make them; the same seed makes the same ones."""
        self._radio = radio
        self._chance = random.Random(seed)
        self._addresses = [self._address(number) for number in range(devices)]
        self.reported = 0

    async def advertise(self, per_second: float) -> None:
        """Advertise until this is cancelled."""
        pace = _Pace(1 / per_second)
        while True:
            for number, address in enumerate(self._addresses):
                kind = self._chance.choice(list(Kind))
                heard = Heard(address, self._data(number), None, kind, address < "F0")
                self.reported += self._radio.hear(heard)
                await pace.wait()

    def _address(self, number: int) -> str:
        # Public ones, and all three kinds of random ones.
        first = (0xF4, 0xC8, 0x48, 0x08)[number % 4]
        return f"{first:02X}:11:11:11:{number >> 8:02X}:{number & 0xFF:02X}"

    def _data(self, number: int) -> bytes:
        """Return what phones, beacons, and other devices of our makers advertise."""
        some = self._chance.randbytes
        return (
            lambda: FLAGS + manufacturer_data(0x004C, b"\x10\x05" + some(6)),
            lambda: FLAGS + service_data(0xFEAA, b"\x20\0" + some(12)),
            lambda: manufacturer_data(0x0157, some(8)) + named("Lamp"),
            lambda: FLAGS + service_data(0x181D, some(6)),
            lambda: FLAGS + manufacturer_data(0x0102, some(3)),
        )[number % 5]()
