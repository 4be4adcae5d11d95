"""A speed and cadence sensor: GATT service 0x1816."""

import random
import struct
from collections.abc import Iterable

from healthd.simulator.attributes import notifying, readable, service
from healthd.simulator.feed import paced
from healthd.simulator.part import Part
from healthd.simulator.sensors.answers import speed_cadence_control_point
from healthd.simulator.sensors.bicycle import Bicycle

_WHEEL_AND_CRANK = 0b11
_TICKS_PER_S = 1024
_REAR_HUB = 13


def cycling_speed_cadence(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a wheel and crank sensor, with a measurement every ``period`` seconds.

    Like a real sensor, it repeats the last event if the wheel has not completed a turn since.
    """
    bicycle = Bicycle(rng)

    def packets(elapsed: float) -> Iterable[bytes]:
        bicycle.ride(elapsed)
        wheel, crank = bicycle.wheel, bicycle.crank
        yield struct.pack(
            "<BIHHH",
            _WHEEL_AND_CRANK,
            wheel.count % (1 << 32),
            wheel.event(_TICKS_PER_S),
            crank.count % (1 << 16),
            crank.event(_TICKS_PER_S),
        )

    def set_cumulative(revolutions: int) -> None:
        bicycle.wheel.count = revolutions

    measurement, control = notifying(0x2A5B), speed_cadence_control_point(set_cumulative)
    feature = readable(0x2A5C, struct.pack("<H", _WHEEL_AND_CRANK))
    location = readable(0x2A5D, bytes([_REAR_HUB]))
    part = Part(
        service(0x1816, [measurement, feature, location, control.characteristic]),
        {
            measurement: paced(packets, period),
            control.characteristic: control.feed.payloads,
        },
        advertised=True,
    )
    return (part,)
