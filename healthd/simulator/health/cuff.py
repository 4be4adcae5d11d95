"""A blood pressure cuff: GATT service 0x1810."""

import random
import struct
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

from healthd.simulator.attributes import indicating, notifying, readable, service
from healthd.simulator.feed import Rhythm
from healthd.simulator.health.clock import DeviceClock
from healthd.simulator.numbers import NOT_A_NUMBER, date_time, sfloat
from healthd.simulator.part import Part

# Flags: time stamp, pulse rate, user, status; mmHg because bit 0 is clear.
_FLAGS = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4
# 0x2A49: body movement, cuff fit and irregular pulse are detected.
_FEATURES = 0b111
_IRREGULAR_PULSE = 1 << 2
_USER = 1
# What was measured while nobody was linked.
_STORED = 3
_INTERMEDIATE_PER_RESULT = 8


class Cuff:
    """A person's arm in a cuff."""

    def __init__(self, rng: random.Random, period: float, clock: DeviceClock) -> None:
        """Measure some times before anybody links.

        Args:
            rng: where chance comes from.
            period: seconds between two measurements.
            clock: its own.
        """
        self._rng = rng
        self._period = period
        self._clock = clock
        now = clock.now()
        self._stored = [self._result(now - timedelta(days=day)) for day in range(_STORED, 0, -1)]

    async def results(self) -> AsyncGenerator[bytes, None]:
        """Blood Pressure Measurement: the stored ones at once, then one after the other."""
        while self._stored:
            yield self._stored[0]
            # Not before the central has confirmed it.
            del self._stored[0]
        rhythm = Rhythm(self._period)
        while True:
            await rhythm.tick()
            yield self._result(self._clock.now())

    async def pressures(self) -> AsyncGenerator[bytes, None]:
        """Intermediate Cuff Pressure, while the cuff deflates; the other two are not known yet."""
        rhythm = Rhythm(self._period / _INTERMEDIATE_PER_RESULT)
        step = 0
        while True:
            await rhythm.tick()
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
    rng: random.Random, period: float, clock: DeviceClock | None = None
) -> tuple[Part, ...]:
    """A cuff with stored measurements; it measures every ``period`` seconds."""
    clock = clock or DeviceClock()
    cuff = Cuff(rng, period, clock)
    result, pressure = indicating(0x2A35), notifying(0x2A36)
    part = Part(
        service(0x1810, [result, pressure, readable(0x2A49, struct.pack("<H", _FEATURES))]),
        {result: cuff.results, pressure: cuff.pressures},
        advertised=True,
    )
    return part, clock.part()
