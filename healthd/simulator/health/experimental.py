"""Devices of services whose layouts are not publicly documented: they send random bytes."""

import random
from collections.abc import Iterable

from healthd.simulator.attributes import Number, notifying, readable, service
from healthd.simulator.feed import paced
from healthd.simulator.part import Part

_SIZE = 14


def generic_health_sensor(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return a generic health sensor (0x1840) with one observation every ``period`` seconds."""
    return (_opaque_part(rng, period, 0x1840, 0x2B8B, 0x2BF3),)


def physical_activity_monitor(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return a physical activity monitor (0x183E) with one record every ``period`` seconds."""
    return (_opaque_part(rng, period, 0x183E, 0x2B3C, 0x2B3B),)


def _opaque_part(
    rng: random.Random, period: float, number: Number, data: Number, features: Number
) -> Part:
    def packets(_elapsed: float) -> Iterable[bytes]:
        yield rng.randbytes(_SIZE)

    measurement = notifying(data)
    return Part(
        service(number, [measurement, readable(features, bytes(8))]),
        {measurement: paced(packets, period)},
        advertised=True,
    )
