"""A treadmill that splits its records in two packets (0x2ACD)."""

import math
import random
import struct
from collections.abc import Iterable

from healthd.simulator.fitness.control import MachineControl, Target
from healthd.simulator.fitness.machine import machine_part
from healthd.simulator.fitness.workout import Workout
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

# Bit 0 means "more of this record follows", and no speed in this packet.
_FIRST_FLAGS = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 7  # distance, inclination and ramp, energy
_LAST_FLAGS = 1 << 1 | 1 << 8 | 1 << 10  # average speed, heart rate, elapsed time
_FEATURES, _SETTINGS = (0, 2, 3, 9, 10, 12), (0, 1)
# 0.01 km/h and 0.1 %: least, most, step.
_SPEED_RANGE, _INCLINE_RANGE = (80, 2000, 10), (0, 150, 5)
_OWN_INCLINE_PCT = 1.5
# Power of running, as if it were pedalled: for each m/s, and for each per cent of incline.
_W_PER_MPS, _W_PER_MPS_PERCENT = 55.0, 4.0
# A belt needs some seconds for a change of speed.
_BELT_LAG_S = 1.5


class Treadmill:
    """A belt, and who runs on it.

    Attributes:
        workout: what has been done so far; the belt runs while that does.
        control: its control point.
        target_mps: the speed that it is told, or set by hand.
        incline_pct: the same of its inclination.
    """

    def __init__(self, rng: random.Random) -> None:
        """Start at an easy pace.

        Args:
            rng: where chance comes from.
        """
        self._own_mps = self._speed_mps = rng.uniform(2.6, 3.1)
        self._slip = Wander(rng, 0.0, 0.02)
        self.workout = Workout(rng, self._own_mps * _W_PER_MPS)
        self.free()
        targets = {
            0x02: Target("H", 0x05, self._set_speed),
            0x03: Target("h", 0x06, self._set_incline),
        }
        self.control = MachineControl(self.workout, targets, self.free)

    def free(self) -> None:
        """Back to the pace and the slope that the runner has chosen."""
        self.target_mps, self.incline_pct = self._own_mps, _OWN_INCLINE_PCT

    def packets(self, elapsed: float) -> Iterable[bytes]:
        """The next record of Treadmill Data, in two packets; the last one closes it."""
        workout = self.workout
        wanted = self.target_mps if workout.running else 0.0
        self._speed_mps += (1.0 - math.exp(-elapsed / _BELT_LAG_S)) * (wanted - self._speed_mps)
        speed = max(0.0, self._speed_mps + self._slip.step(elapsed))
        load = speed * (_W_PER_MPS + _W_PER_MPS_PERCENT * self.incline_pct)
        workout.advance(elapsed, load, speed)
        ramp_deg = math.degrees(math.atan(self.incline_pct / 100.0))
        slopes = struct.pack("<hh", round(self.incline_pct * 10), round(ramp_deg * 10))
        yield struct.pack("<H", _FIRST_FLAGS) + workout.distance + slopes + workout.energy
        average = workout.distance_m / workout.elapsed_s if workout.elapsed_s else 0.0
        speeds = struct.pack("<HHH", _LAST_FLAGS, round(speed * 360), round(average * 360))
        yield speeds + workout.heart_rate + workout.elapsed

    def _set_speed(self, raw: int) -> bool:
        least, most, _ = _SPEED_RANGE
        if not least <= raw <= most:
            return False
        self.target_mps = raw / 360.0
        return True

    def _set_incline(self, raw: int) -> bool:
        least, most, _ = _INCLINE_RANGE
        if not least <= raw <= most:
            return False
        self.incline_pct = raw / 10.0
        return True


def treadmill(rng: random.Random, period: float) -> tuple[Part, ...]:
    """A treadmill; one record, two packets, every ``period`` seconds."""
    return (treadmill_part(Treadmill(rng), period),)


def treadmill_part(machine: Treadmill, period: float) -> Part:
    """The service of a treadmill; one record, two packets, every ``period`` seconds."""
    return machine_part(
        0x2ACD,
        machine.packets,
        period,
        features=_FEATURES,
        settings=_SETTINGS,
        ranges={
            0x2AD4: struct.pack("<HHH", *_SPEED_RANGE),
            0x2AD5: struct.pack("<hhH", *_INCLINE_RANGE),
        },
        control=machine.control,
    )
