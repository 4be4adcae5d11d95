"""A running pod: GATT service 0x1814."""

import random
import struct
from collections.abc import Iterable

from healthd.simulator.attributes import notifying, readable, service
from healthd.simulator.feed import paced
from healthd.simulator.part import Part
from healthd.simulator.sensors.answers import speed_cadence_control_point
from healthd.simulator.wander import Wander

_STRIDE, _DISTANCE, _RUNNING = 1 << 0, 1 << 1, 1 << 2
_FEATURES = _STRIDE | _DISTANCE | _RUNNING
_TOP_OF_SHOE = 1


def running_speed_cadence(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a running pod, with one measurement every ``period`` seconds."""
    speed_mps = Wander(rng, rng.uniform(2.8, 3.4), 0.1)
    steps_per_min = Wander(rng, rng.uniform(165.0, 178.0), 2.0)
    distance_m = 0.0

    def packets(elapsed: float) -> Iterable[bytes]:
        nonlocal distance_m
        speed, steps = speed_mps.step(elapsed), steps_per_min.step(elapsed)
        distance_m += elapsed * speed
        # Two steps are a stride.
        stride_m = speed * 120.0 / steps
        yield struct.pack(
            "<BHBHI",
            _FEATURES,
            round(speed * 256),
            round(steps),
            round(stride_m * 100),
            int(distance_m * 10) % (1 << 32),
        )

    def set_cumulative(decimetres: int) -> None:
        nonlocal distance_m
        distance_m = decimetres / 10.0

    measurement, control = notifying(0x2A53), speed_cadence_control_point(set_cumulative)
    feature = readable(0x2A54, struct.pack("<H", _FEATURES))
    location = readable(0x2A5D, bytes([_TOP_OF_SHOE]))
    part = Part(
        service(0x1814, [measurement, feature, location, control.characteristic]),
        {
            measurement: paced(packets, period),
            control.characteristic: control.feed.payloads,
        },
        advertised=True,
    )
    return (part,)
