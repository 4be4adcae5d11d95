"""A blood pressure cuff: GATT service 0x1810."""

import random
import struct
from collections import deque
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

from healthd.simulator.attributes import indicating, notifying, readable, service
from healthd.simulator.feed import Ticker
from healthd.simulator.health.clock import DeviceClock
from healthd.simulator.numbers import NOT_A_NUMBER, date_time, sfloat
from healthd.simulator.part import Part

# Flags: time stamp, pulse rate, user, status; mmHg because bit 0 is clear.
_FLAGS = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4
# 0x2A49: body movement, cuff fit and irregular pulse are detected.
_FEATURES = 0b111
_IRREGULAR_PULSE = 1 << 2
_USER = 1
# The number of measurements that were stored before the first link, and of those that it keeps.
_STORED, _KEPT = 3, 60
_INTERMEDIATE_PER_RESULT = 8


class Cuff:
    """A blood pressure cuff and its measurements."""

    def __init__(
        self, rng: random.Random, period: float, clock: DeviceClock, *, keeps: bool
    ) -> None:
        """Store measurements from before the first link.

        Args:
            rng: The random generator.
            period: Seconds between two measurements.
            clock: The device's clock.
            keeps: Whether it keeps what it has sent, and sends all of it on each link.
        """
        self._rng = rng
        self._period = period
        self._clock = clock
        now = clock.now()
        self._keeps = keeps
        self._stored = deque(
            (self._result(now - timedelta(days=day)) for day in range(_STORED, 0, -1)),
            maxlen=_KEPT,
        )

    async def results(self) -> AsyncGenerator[bytes, None]:
        """Generate Blood Pressure Measurements: first the stored ones, then one per period."""
        if self._keeps:
            for stored in tuple(self._stored):
                yield stored
        else:
            while self._stored:
                yield self._stored[0]
                # Delete it only after the central has confirmed the indication.
                self._stored.popleft()
        ticker = Ticker(self._period)
        while True:
            await ticker.tick()
            result = self._result(self._clock.now())
            if self._keeps:
                self._stored.append(result)
            yield result

    async def pressures(self) -> AsyncGenerator[bytes, None]:
        """Generate Intermediate Cuff Pressures while the cuff deflates; other fields are NaN."""
        ticker = Ticker(self._period / _INTERMEDIATE_PER_RESULT)
        step = 0
        while True:
            await ticker.tick()
            pressure = 180 - 15 * (step % _INTERMEDIATE_PER_RESULT)
            step += 1
            yield bytes([0]) + sfloat(pressure, 0) + 2 * NOT_A_NUMBER

    def _result(self, when: datetime) -> bytes:
        systolic, diastolic = self._rng.randint(112, 134), self._rng.randint(70, 86)
        mean = diastolic + (systolic - diastolic) / 3
        status = _IRREGULAR_PULSE if self._rng.random() < 0.1 else 0
        return b"".join(
            (
                bytes([_FLAGS]),
                sfloat(systolic, 0) + sfloat(diastolic, 0) + sfloat(round(mean, 1), -1),
                date_time(when),
                sfloat(self._rng.randint(58, 78), 0),
                struct.pack("<BH", _USER, status),
            )
        )


def blood_pressure(
    rng: random.Random, period: float, clock: DeviceClock | None = None, *, keeps: bool = True
) -> tuple[Part, ...]:
    """Return the parts of a cuff that has stored measurements and measures every ``period`` s.

    Like most cuffs it sends on each link what it has stored, unless it does not keep that.
    """
    clock = clock or DeviceClock()
    cuff = Cuff(rng, period, clock, keeps=keeps)
    result, pressure = indicating(0x2A35), notifying(0x2A36)
    part = Part(
        service(0x1810, [result, pressure, readable(0x2A49, struct.pack("<H", _FEATURES))]),
        {result: cuff.results, pressure: cuff.pressures},
        advertised=True,
    )
    return part, clock.part()
