"""A pulse oximeter: GATT service 0x1822."""

import random
import struct
from collections.abc import Iterable
from datetime import datetime, timedelta

from healthd.simulator.attributes import indicating, notifying, readable, service
from healthd.simulator.feed import Feed, paced
from healthd.simulator.health.racp import Record, RecordAccess
from healthd.simulator.numbers import date_time, int24, sfloat
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

# Continuous measurement: fast values, both statuses, pulse amplitude index.
_CONTINUOUS_FLAGS = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4
# Spot check: time stamp, both statuses, pulse amplitude index.
_SPOT_FLAGS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3
_ONGOING, _FULLY_QUALIFIED, _FROM_STORAGE = 1 << 5, 1 << 8, 1 << 9
_LOW_PERFUSION = 1 << 5
# 0x2A60: both statuses, storage, time stamp, fast values, amplitude; supported status bits follow.
_FEATURES = sum(1 << bit for bit in (0, 1, 2, 3, 4, 6))
_STORED = 4
# A spot check takes as long as this many continuous values.
_CONTINUOUS_PER_SPOT = 5


class Finger:
    """A finger in the clip of an oximeter.

    Attributes:
        spot: Sends stored spot checks.
        records: The stored spot checks, oldest first.
    """

    def __init__(self, rng: random.Random) -> None:
        """Store spot checks from before the first link.

        Args:
            rng: The random generator.
        """
        self._saturation = Wander(rng, rng.uniform(96.0, 98.0), 0.4)
        self._pulse = Wander(rng, rng.uniform(58.0, 75.0), 2.0)
        self._amplitude = Wander(rng, 4.2, 0.4)
        self.spot = Feed()
        self.records: list[Record] = []
        now = datetime.now()  # noqa: DTZ005 - the device knows no time zone
        for past in range(_STORED, 0, -1):
            payload = self._spot_check(now - timedelta(hours=past), _FROM_STORAGE)
            self.records.append(Record(_STORED - past, ((self.spot, payload),)))

    def continuous(self, elapsed: float) -> Iterable[bytes]:
        """Generate the next continuous measurement (0x2A5F)."""
        pair = self._pair(elapsed)
        state = struct.pack("<H", _ONGOING | _FULLY_QUALIFIED)
        device = int24(_LOW_PERFUSION if self._amplitude.value < 3.5 else 0)
        yield bytes([_CONTINUOUS_FLAGS]) + pair + pair + state + device + self._index

    def spot_checks(self, elapsed: float) -> Iterable[bytes]:
        """Generate the next spot check (0x2A5E)."""
        for value in (self._saturation, self._pulse, self._amplitude):
            value.step(elapsed)
        yield self._spot_check(datetime.now(), _FULLY_QUALIFIED)  # noqa: DTZ005 - as above

    def _spot_check(self, when: datetime, state: int) -> bytes:
        pair, moment = self._pair(60.0), date_time(when)
        status = struct.pack("<H", state) + int24(0)
        return bytes([_SPOT_FLAGS]) + pair + moment + status + self._index

    def _pair(self, elapsed: float) -> bytes:
        saturation = min(100.0, self._saturation.step(elapsed))
        self._amplitude.step(elapsed)
        return sfloat(round(saturation, 1), -1) + sfloat(round(self._pulse.step(elapsed)), 0)

    @property
    def _index(self) -> bytes:
        return sfloat(round(self._amplitude.value, 2), -2)


def pulse_oximeter(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of an oximeter: a value per ``period`` seconds, spot checks, stored ones."""
    finger = Finger(rng)
    live = paced(finger.spot_checks, period * _CONTINUOUS_PER_SPOT)
    access = RecordAccess(lambda: finger.records, [finger.spot], filter_type=None)
    continuous, spot = notifying(0x2A5F), indicating(0x2A5E)
    states = struct.pack("<H", _ONGOING | _FULLY_QUALIFIED | _FROM_STORAGE)
    feature = struct.pack("<H", _FEATURES) + states + int24(_LOW_PERFUSION)
    part = Part(
        service(0x1822, [spot, continuous, readable(0x2A60, feature), access.characteristic]),
        {
            spot: finger.spot.merged_with(live),
            continuous: paced(finger.continuous, period),
            access.characteristic: access.answers,
        },
        advertised=True,
    )
    return (part,)
