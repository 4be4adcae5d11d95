"""A thermometer: GATT service 0x1809."""

import random
import struct
from collections.abc import Iterable

from healthd.simulator.attributes import indicating, notifying, readable, service
from healthd.simulator.feed import paced
from healthd.simulator.health.clock import DeviceClock
from healthd.simulator.numbers import date_time, float32
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

_TIMESTAMP, _TYPE = 1 << 1, 1 << 2
_BODY = 2
# The number of intermediate values for each final value.
_INTERMEDIATE_PER_FINAL = 4
# How much colder than the body the sensor is when a measurement begins.
_COLD_C = 1.5


def health_thermometer(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a clinical thermometer.

    It sends a result every ``period`` seconds, with intermediate values in between. Its clock shows
    the correct time and cannot be set.
    """
    clock = DeviceClock()
    body_c = Wander(rng, rng.uniform(36.4, 37.4), 0.1)
    skin_c = body_c.value - _COLD_C

    def results(elapsed: float) -> Iterable[bytes]:
        nonlocal skin_c
        skin_c = body_c.value - _COLD_C
        value = float32(round(body_c.step(elapsed), 1), -1)
        when = date_time(clock.now())
        yield bytes([_TIMESTAMP | _TYPE]) + value + when + bytes([_BODY])

    def intermediates(_elapsed: float) -> Iterable[bytes]:
        nonlocal skin_c
        skin_c += 0.5 * (body_c.value - skin_c)
        yield bytes([0]) + float32(round(skin_c, 1), -1)

    final, intermediate = indicating(0x2A1C), notifying(0x2A1E)
    interval = readable(0x2A21, struct.pack("<H", max(1, round(period))))
    part = Part(
        service(0x1809, [final, readable(0x2A1D, bytes([_BODY])), intermediate, interval]),
        {
            final: paced(results, period),
            intermediate: paced(intermediates, period / _INTERMEDIATE_PER_FINAL),
        },
        advertised=True,
    )
    return part, clock.part(can_be_set=False)
