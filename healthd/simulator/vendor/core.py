"""A CORE sensor: core and skin temperature, and the heart rate of the strap that it receives.

Source: the maker's "Core Body Temperature Service Specification" V2.2 and "CORE Connectivity
Implementation Notes" V3.1.
"""

import random
import struct
from collections.abc import Iterable

from healthd.simulator.attributes import notifying, readable, service
from healthd.simulator.feed import paced
from healthd.simulator.numbers import float32
from healthd.simulator.part import Part
from healthd.simulator.strap import Battery, battery_part
from healthd.simulator.wander import Wander

_SERVICE = "00002100-5b1e-4347-b07c-97b514dae121"
_MEASUREMENT = "00002101-5b1e-4347-b07c-97b514dae121"

# All fields are there: skin, reserved, quality and state, heart rate, heat strain index.
_FLAGS = 0b11_0111
_RESERVED = 47
_GOOD, _EXCELLENT = 3, 4
_RECEIVES_HEART_RATE = 2 << 4
_HIGHEST_INDEX = 25.4
# The thermometer's type is in each of its packets.
_TYPE, _BODY = 1 << 2, 2
# The standard service sends every ten seconds, the sensor's own once a second.
_PER_STANDARD_VALUE = 10


class _Body:
    """A body at work, with a sensor on its skin."""

    def __init__(self, rng: random.Random) -> None:
        self._core_c = Wander(rng, 37.9, 0.25)
        self._skin_c = Wander(rng, 34.6, 0.4)
        self._heart_bpm = Wander(rng, 138.0, 6.0)

    def values(self, elapsed: float) -> Iterable[bytes]:
        for value in (self._core_c, self._skin_c, self._heart_bpm):
            value.step(elapsed)
        yield self.value()

    def value(self) -> bytes:
        """Return a Core Body Temperature (2101) of this moment."""
        core_c, skin_c = self._core_c.value, self._skin_c.value
        quality = _EXCELLENT if core_c - skin_c < 3.5 else _GOOD
        # What strains is a hot core under a warm skin.
        index = min(max(0.0, 2.0 * (core_c - 37.0) + 0.3 * (skin_c - 34.0)), _HIGHEST_INDEX)
        return struct.pack(
            "<BhhhBBB",
            _FLAGS,
            round(core_c * 100),
            round(skin_c * 100),
            _RESERVED,
            quality | _RECEIVES_HEART_RATE,
            round(self._heart_bpm.value),
            round(index * 10),
        )

    def standard_values(self, _elapsed: float) -> Iterable[bytes]:
        """Generate Temperature Measurements (2A1C)."""
        yield bytes([_TYPE]) + float32(round(self._core_c.value, 2), -2) + bytes([_BODY])


def core(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a sensor that is worn by an athlete, measuring every ``period`` s."""
    body = _Body(rng)
    own = notifying(_MEASUREMENT, body.value)
    standard = notifying(0x2A1C)
    return (
        Part(service(_SERVICE, [own]), {own: paced(body.values, period)}, advertised=True),
        Part(
            service(0x1809, [standard, readable(0x2A1D, bytes([_BODY]))]),
            {standard: paced(body.standard_values, period * _PER_STANDARD_VALUE)},
        ),
        battery_part(Battery(level=81)),
    )
