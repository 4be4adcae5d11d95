"""Peripherals that do what a strap, scale or machine must not do, each in one way.

Nothing here harms other programs: the values are as long and as many as a link can carry.
"""

import asyncio
import random
import struct
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from bumble.gatt import Characteristic

from healthd.simulator.attributes import indicating, notifying, readable, service
from healthd.simulator.feed import ControlPoint
from healthd.simulator.health.glucose import Memory
from healthd.simulator.health.racp import RecordAccess
from healthd.simulator.numbers import date_time
from healthd.simulator.part import Part, Payloads
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.polar.pmd import Pmd
from healthd.simulator.strap import Battery, battery_part, device_information_part
from tests.field.rig import P, raw

# What the longest attribute value and a notification of a link with MTU 517 can carry.
LONGEST = 512
# Sources that send as fast as they may give the event loop a turn after this many payloads.
_BURST = 8
# Packets; as many as a controller has room for.
_MOST_WAITING = 32
# Request Control, accepted.
_GRANTED = bytes([0x80, 0x00, 0x01])


@dataclass(frozen=True)
class Hostile:
    """A hostile peripheral, and how the settings ask for it.

    Attributes:
        id: its id in the settings.
        make: returns it, given its address.
        settings: further keys of its entry.
    """

    id: str
    make: Callable[[str, random.Random], VirtualPeripheral]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


class Radio(VirtualPeripheral):
    """A peripheral that drops what it cannot send soon, as a real one has to."""

    async def send(self, characteristic: Characteristic[bytes], payload: bytes) -> None:
        """See `VirtualPeripheral`."""
        _, device = self._powered()
        waiting = device.host.le_acl_packet_queue
        if waiting is None or waiting.pending < _MOST_WAITING:
            await super().send(characteristic, payload)


def at_rate(make: Callable[[int], bytes], per_s: float) -> Payloads:
    """Return a source of numbered payloads at a rate, in small bursts."""

    async def payloads() -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in count():
            yield make(number)
            if number % _BURST == _BURST - 1:
                # What is overdue is dropped: a radio does not catch up either.
                began = max(began, loop.time() - (number + 1) / per_s)
                await asyncio.sleep(began + (number + 1) / per_s - loop.time())

    return payloads


def flood(per_s: float) -> Callable[[str, random.Random], VirtualPeripheral]:
    """Return a strap that notifies hundreds or thousands of times a second."""

    def make(address: str, _rng: random.Random) -> VirtualPeripheral:
        beat = notifying(0x2A37)
        payload = at_rate(lambda number: bytes([0, 60 + number % 40]), per_s)
        part = Part(service(0x180D, [beat]), {beat: payload}, advertised=True)
        return Radio("Flood", address, [part, device_information_part()])

    return make


def talker(address: str, _rng: random.Random) -> VirtualPeripheral:
    """Return a machine whose control point indicates all the time, whatever it was asked."""
    data = notifying(0x2AD2)
    point = raw(0x2AD9, P.WRITE | P.INDICATE)
    answers = [_GRANTED, b"\x80\x07\x01", b"\x80\x05\x04", b"\x80", b"\xff" * 20]
    parts = Part(
        service(0x1826, [readable(0x2ACC, struct.pack("<II", 0x4002, 0x8)), data, point]),
        {
            point: at_rate(lambda number: answers[number % len(answers)], 200),
            data: at_rate(lambda _: struct.pack("<HHh", 0x44, 2000, 150), 1),
        },
        advertised=True,
    )
    return Radio("Talker", address, [parts])


class AmplifyingPmd(Pmd):
    """Frames whose few bytes stand for very many samples, with times anywhere."""

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        times = (0, 1, 599_616_000 * 10**9, 2**62, 2**63, 2**64 - 1)
        # A reference of three axes, then blocks of no bits: two bytes each for 255 samples.
        samples = bytes(6) + bytes([0, 255]) * 16
        for number in count():
            yield struct.pack("<BQB", 2, times[number % len(times)], 0x80) + samples
            await asyncio.sleep(0.02)


def amplifier(address: str, rng: random.Random) -> VirtualPeripheral:
    """Return a sensor of raw signals with `AmplifyingPmd`."""
    beat = notifying(0x2A37)
    heart = Part(service(0x180D, [beat]), {beat: at_rate(lambda _: b"\0\x48", 1)}, advertised=True)
    return Radio("Amplifier", address, [heart, AmplifyingPmd(rng).part()])


def meter(address: str, rng: random.Random) -> VirtualPeripheral:
    """Return a glucose meter that sends records forever, each with another number and time."""
    records, memory = notifying(0x2A18), Memory(rng, stored=1)
    access = RecordAccess(lambda: memory.records, [memory.measurement])

    def record(number: int) -> bytes:
        moment = datetime(2020, 1, 1) + timedelta(minutes=number)  # noqa: DTZ001 - the meter's own
        return struct.pack("<BH", 2, number % 0x10000) + date_time(moment) + b"\x5e\xb0\x11"

    part = Part(
        service(0x1808, [records, readable(0x2A51, b"\0\0"), access.characteristic]),
        {
            records: memory.measurement.merged_with(at_rate(record, 100)),
            access.characteristic: access.answers,
        },
        advertised=True,
    )
    return Radio("Meter", address, [part])


def garbage(address: str, rng: random.Random) -> VirtualPeripheral:
    """Return a device that sends random bytes of any length in everything that it has."""

    def noise(number: int) -> Characteristic[bytes]:
        # Kept for the stream of the same characteristic below.
        return notifying(number, lambda: rng.randbytes(rng.randrange(LONGEST)))

    services = {
        0x180D: (0x2A37,),
        0x1816: (0x2A5B,),
        0x1818: (0x2A63,),
        0x1822: (0x2A5F, 0x2A5E),
        0x181F: (0x2AA7,),
        0x180F: (0x2A19,),
    }
    parts: list[Part] = []
    for of, numbers in services.items():
        streams: dict[Characteristic[bytes], Payloads] = {
            noise(one): at_rate(lambda _: rng.randbytes(rng.randrange(LONGEST)), 20)
            for one in numbers
        }
        parts.append(Part(service(of, list(streams)), streams, advertised=of == 0x180D))
    return Radio("Garbage", address, parts)


class Boaster(Radio):
    """A strap whose Device Information is as long and odd as it can be, and differs each time."""

    def __init__(self, address: str, rng: random.Random) -> None:
        odd = "\x1b[2J\x07\u202e\u200b\ufeff\u0000\"\\/{}<>&'%s\n\r\t日本🙂"

        def text() -> bytes:
            return ("".join(rng.choice(odd) for _ in range(LONGEST))).encode()[:LONGEST]

        strings = [readable(number, text) for number in range(0x2A23, 0x2A2A)]
        beat = notifying(0x2A37)
        super().__init__(
            "\x1b[31m\u202eBoaster",
            address,
            [
                Part(service(0x180D, [beat]), {beat: self._beats}, advertised=True),
                Part(service(0x180A, strings)),
            ],
        )

    async def _beats(self) -> AsyncGenerator[bytes, None]:
        for _ in range(4):
            await asyncio.sleep(1.0)
            yield b"\0\x48"
        self._spawn(self.drop(), "drop")


class Flapper(Radio):
    """A strap that ends each link as soon as a central subscribes, and advertises again."""

    def __init__(self, address: str, rng: random.Random) -> None:
        beat = notifying(0x2A37)
        part = Part(service(0x180D, [beat]), {beat: self._beats}, advertised=True)
        self._rng = rng
        super().__init__("Flapper", address, [part, battery_part(Battery(50))])

    async def _beats(self) -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(self._rng.uniform(0, 0.3))
        yield b"\0\x48"
        self._spawn(self.drop(), "drop")


def scale(address: str, rng: random.Random) -> VirtualPeripheral:
    """Return a body scale that publishes results forever: times, users and weights differ."""
    weight, body = indicating(0x2A9D), indicating(0x2A9C)

    def a_moment() -> bytes:
        moment = datetime(2020, 1, 1) + timedelta(seconds=rng.randrange(10**8))  # noqa: DTZ001
        return date_time(moment)

    def weighing(number: int) -> bytes:
        grams = struct.pack("<H", rng.randrange(20_000))
        return bytes([0x06]) + grams + a_moment() + bytes([number % 256])

    def composition(number: int) -> bytes:
        return struct.pack("<HH", 0x0006, 250) + a_moment() + bytes([number % 256])

    parts = [
        Part(
            service(0x181D, [weight, readable(0x2A9E, bytes(4))]),
            {weight: at_rate(weighing, 40)},
            advertised=True,
        ),
        Part(service(0x181B, [body, readable(0x2A9B, bytes(4))]), {body: at_rate(composition, 40)}),
    ]
    return Radio("Scale", address, parts)


def fickle(address: str, rng: random.Random) -> VirtualPeripheral:
    """Return a machine that changes its features, ranges and status, and takes control away."""
    bike, training, status = notifying(0x2AD2), notifying(0x2AD3), notifying(0x2ADA)
    losses = [b"\xff", b"\x02\x01", b"\x04", b"\x01", b"\x08\x64\x00", b"\x05\xff\x7f"]
    point = ControlPoint(0x2AD9, lambda request: bytes([0x80, request[0], rng.choice([1, 2, 5])]))

    def changing(number: int, size: int) -> Characteristic[bytes]:
        return readable(number, lambda: rng.randbytes(size))

    part = Part(
        service(
            0x1826,
            [
                changing(0x2ACC, 8),
                *(changing(number, 6) for number in range(0x2AD4, 0x2AD9)),
                bike,
                training,
                status,
                point.characteristic,
            ],
        ),
        {
            bike: at_rate(lambda _: struct.pack("<HHh", 0x44, 2000, 150), 2),
            training: at_rate(lambda number: bytes([1, number % 16]) + rng.randbytes(30), 50),
            status: at_rate(lambda number: losses[number % len(losses)], 50),
            point.characteristic: point.feed.payloads,
        },
        advertised=True,
    )
    return Radio("Fickle", address, [part])


def mute(address: str, _rng: random.Random) -> VirtualPeripheral:
    """Return a device that can be linked, and answers no read."""

    async def never() -> bytes:
        await asyncio.Event().wait()
        return b""

    parts = [
        Part(service(0x180D, [raw(0x2A37, P.NOTIFY | P.READ, never)]), advertised=True),
        Part(service(0x180A, [raw(number, P.READ, never) for number in range(0x2A23, 0x2A2A)])),
        Part(service(0x180F, [raw(0x2A19, P.READ | P.NOTIFY, never)])),
    ]
    return Radio("Mute", address, parts)


HOSTILE = (
    # More than any sensor sends; and as many as the busiest raw signals, which is too many here.
    Hostile("flood", flood(4000)),
    Hostile("swift", flood(300)),
    Hostile("talker", talker, {"start": True}),
    Hostile("amplifier", amplifier, {"pmd": ["acceleration"]}),
    Hostile("meter", meter),
    Hostile("garbage", garbage),
    Hostile("boaster", Boaster),
    Hostile("flapper", Flapper),
    Hostile("scale", scale),
    Hostile("fickle", fickle, {"start": True}),
    Hostile("mute", mute),
)
