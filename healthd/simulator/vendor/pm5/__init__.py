"""A Concept2 PM5 on a rower: short workouts, one after the other, while anyone listens."""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial

from bumble.att import ATT_Error, ErrorCode

from healthd.simulator.attributes import notifying, readable, service, writeable
from healthd.simulator.feed import Feed, Ticker, paced
from healthd.simulator.numbers import int24
from healthd.simulator.part import Part
from healthd.simulator.vendor.pm5.packets import (
    Packet,
    multiplexed,
    split,
    status,
    stroke,
    summary,
)
from healthd.simulator.vendor.pm5.row import Happened, Row

# How often it sends its status, by what is written to 0034.
_RATES_S = {0: 1.0, 1: 0.5, 2: 0.25, 3: 0.1}
_DEFAULT_RATE = 1
# Shorter than the shortest of these, and than the part of a stroke.
_STEP_S = 0.05
_SEPARATE = (0x31, 0x32, 0x33, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x3D)
_MULTIPLEXED = 0x80
_INFORMATION = {
    0x11: "PM5",
    0x12: "430000000",
    0x13: "634",
    0x14: "8200-000372-172.012",
    0x15: "Concept2",
}
_ROWER = b"\0"


def _uuid(number: int) -> str:
    return f"CE06{number:04X}-43E5-11E4-916C-0800200C9A66"


class Monitor:
    """The monitor. Its person rows while a central is subscribed to anything.

    Attributes:
        row: what it measures.
        rate: the number of the rate at which it sends its status.
    """

    def __init__(self, rng: random.Random, period: float, numbers: Iterable[int]) -> None:
        """Switch it on.

        Args:
            rng: The random generator.
            period: Seconds between two updates at the default rate; all goes faster or slower with
                it.
            numbers: Its characteristics that notify.
        """
        self.row = Row(rng)
        self._factor = period / _RATES_S[_DEFAULT_RATE]
        self.rate = _DEFAULT_RATE
        self._feeds = {number: Feed() for number in numbers}
        self._listeners = 0
        self._rowing: asyncio.Task[None] | None = None

    def part(self) -> Part:
        """Return the rowing service."""
        sources = {
            notifying(_uuid(number)): partial(self._source, feed)
            for number, feed in self._feeds.items()
        }
        rate = writeable(_uuid(0x34), self._set_rate, read=lambda: bytes((self.rate,)))
        return Part(service(_uuid(0x30), [*sources, rate]), sources)

    def _set_rate(self, value: bytes) -> None:
        if len(value) != 1 or value[0] not in _RATES_S:
            raise ATT_Error(ErrorCode.INVALID_ATTRIBUTE_LENGTH)
        self.rate = value[0]

    async def _source(self, feed: Feed) -> AsyncGenerator[bytes, None]:
        self._listen(1)
        try:
            async with aclosing(feed.payloads()) as payloads:
                async for payload in payloads:
                    yield payload
        finally:
            self._listen(-1)

    def _listen(self, change: int) -> None:
        self._listeners += change
        if self._listeners and self._rowing is None:
            self._rowing = asyncio.create_task(self._go_on(), name="simulator: row")
        elif not self._listeners and self._rowing is not None:
            self._rowing.cancel()
            self._rowing = None
            # Without a link, a monitor forgets what was written.
            self.rate = _DEFAULT_RATE

    async def _go_on(self) -> None:
        ticker = Ticker(_STEP_S * self._factor)
        waited_s = 0.0
        while True:
            passed_s = await ticker.tick() / self._factor
            waited_s += passed_s
            for _ in range(round(passed_s / _STEP_S)):
                for happened in self.row.advance(_STEP_S):
                    self._report(happened)
            # A step is not exactly representable, so a sum of them may be a little less.
            if waited_s >= _RATES_S[self.rate] - _STEP_S / 2:
                waited_s = 0.0
                self._send(status(self.row))

    def _report(self, happened: Happened) -> None:
        row = self.row
        if happened is Happened.DRIVE_OVER:
            self._send(stroke(row, drive=True))
        elif happened is Happened.RECOVERY_OVER:
            self._send(stroke(row, drive=False))
        elif happened is Happened.SPLIT_OVER:
            self._send(split(row))
        else:
            self._send(summary(row, datetime.now(UTC).astimezone()))

    def _send(self, packets: Iterable[Packet]) -> None:
        """Send over the characteristics that are subscribed, and the others over 0080."""
        rest: list[Packet] = []
        sent = list(packets)
        for number, value in sent:
            feed = self._feeds.get(number)
            if feed is not None and feed.is_open:
                feed.put(value)
            else:
                rest.append((number, value))
        if rest and (feed := self._feeds.get(_MULTIPLEXED)) is not None and feed.is_open:
            wanted = {number for number, _ in rest}
            for value in multiplexed(sent):
                # 003c goes with 0039 and has no characteristic of its own.
                if value[0] in wanted or value[0] not in self._feeds:
                    feed.put(value)


def _information() -> Part:
    texts = [readable(_uuid(number), text.encode()) for number, text in _INFORMATION.items()]
    return Part(service(_uuid(0x10), [*texts, readable(_uuid(0x16), _ROWER)]))


def _fitness_machine(monitor: Monitor, period: float) -> Part:
    """Return the service of a rower that newer firmware has, too."""

    def packets(_elapsed: float) -> Iterable[bytes]:
        row = monitor.row
        pace = round(500.0 / row.speed_mps) if row.speed_mps else 0
        power = row.stroke.power_w
        distance = int24(round(row.distance_m)) + pace.to_bytes(2, "little")
        yield (
            b"\x2c\x00"
            + bytes((row.stroke.rate_spm * 2, row.stroke.count, 0))
            + distance
            + (power.to_bytes(2, "little"))
        )

    data = notifying(0x2AD1)
    features = readable(0x2ACC, bytes(8))
    return Part(service(0x1826, [features, data]), {data: paced(packets, period)})


def pm5(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a PM5 with newer firmware, which is a fitness machine, too.

    Args:
        rng: The random generator.
        period: Seconds between two updates at the default rate.
    """
    monitor = Monitor(rng, period, (*_SEPARATE, _MULTIPLEXED))
    return monitor.part(), _information(), _fitness_machine(monitor, period)


def pm5_of_old_firmware(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a PM5 with nothing but its own services."""
    return Monitor(rng, period, (*_SEPARATE, _MULTIPLEXED)).part(), _information()


def pm5_with_0080_only(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a device that has 0080 in place of the other characteristics."""
    return Monitor(rng, period, (_MULTIPLEXED,)).part(), _information()
