"""A location pod: GATT service 0x1819."""

import math
import random
import struct
from collections.abc import Iterable
from datetime import UTC, datetime

from healthd.simulator.attributes import notifying, readable, service
from healthd.simulator.feed import paced
from healthd.simulator.numbers import date_time, int24
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

# Flags of 0x2A67: speed, distance, location, elevation, heading, rolling time, UTC; position ok
# (bits 7 and 8), speed and distance in three dimensions.
_FLAGS = 0b0111_1111 | 1 << 7 | 1 << 9
# Flags of 0x2A68: remaining distance, remaining height, arrival; position ok, to the destination.
_NAVIGATION_FLAGS = 0b111 | 1 << 3 | 1 << 6
# Flags of 0x2A69: all seven fields; position ok.
_QUALITY_FLAGS = 0b0111_1111 | 1 << 7
# Bits of 0x2A6A: the seven fields, remaining distance and height, arrival, position status.
_FEATURES = 0b0111_1111 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 20
_M_PER_DEGREE = 111_320.0
# In the Bois de Boulogne.
_START_LATITUDE, _START_LONGITUDE = 48.8625, 2.2497
_ELEVATION_M, _COURSE_M = 38.0, 5000.0


class Walker:
    """A moving person with a location receiver."""

    def __init__(self, rng: random.Random) -> None:
        """Start towards the north-east.

        Args:
            rng: The random generator.
        """
        self._speed_mps = Wander(rng, 2.9, 0.15)
        self._heading_deg = Wander(rng, 45.0, 8.0)
        self._elevation_m = Wander(rng, _ELEVATION_M, 1.0)
        self._latitude, self._longitude = _START_LATITUDE, _START_LONGITUDE
        self._distance_m = 0.0
        self._elapsed_s = 0.0

    def positions(self, elapsed: float) -> Iterable[bytes]:
        """Generate the next Location and Speed (0x2A67)."""
        speed, heading = self._speed_mps.step(elapsed), self._heading_deg.step(elapsed)
        self._elapsed_s += elapsed
        self._distance_m += speed * elapsed
        course = math.radians(heading)
        self._latitude += speed * elapsed * math.cos(course) / _M_PER_DEGREE
        east = _M_PER_DEGREE * math.cos(math.radians(self._latitude))
        self._longitude += speed * elapsed * math.sin(course) / east
        yield b"".join(
            (
                struct.pack("<HH", _FLAGS, round(speed * 100)),
                int24(int(self._distance_m * 10)),
                struct.pack("<ii", round(self._latitude * 1e7), round(self._longitude * 1e7)),
                int24(round(self._elevation_m.step(elapsed) * 100)),
                struct.pack("<HB", round(heading * 100), int(self._elapsed_s) % 256),
                date_time(datetime.now(UTC)),
            )
        )

    def directions(self, _elapsed: float) -> Iterable[bytes]:
        """Generate the next Navigation (0x2A68)."""
        remaining = max(0.0, _COURSE_M - self._distance_m)
        arrival = datetime.fromtimestamp(
            datetime.now(UTC).timestamp() + remaining / self._speed_mps.value, UTC
        )
        heading = round(self._heading_deg.value * 100)
        yield b"".join(
            (
                struct.pack("<HHH", _NAVIGATION_FLAGS, 4500, heading),
                int24(int(remaining * 10)),
                int24(round((_ELEVATION_M - self._elevation_m.value) * 100)),
                date_time(arrival),
            )
        )


def location_navigation(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a location pod; it sends both values every ``period`` seconds."""
    walker = Walker(rng)
    position, navigation = notifying(0x2A67), notifying(0x2A68)
    # 9 of 12 beacons, first fix after 4.2 s, errors of 3.5 m and 5 m, HDOP 1.2 and VDOP 1.8 (in
    # units of 0.2).
    quality = struct.pack("<HBBHIIBB", _QUALITY_FLAGS, 9, 12, 42, 350, 500, 6, 9)
    part = Part(
        service(
            0x1819,
            [
                readable(0x2A6A, struct.pack("<I", _FEATURES)),
                position,
                readable(0x2A69, quality),
                navigation,
            ],
        ),
        {
            position: paced(walker.positions, period),
            navigation: paced(walker.directions, period),
        },
        advertised=True,
    )
    return (part,)
