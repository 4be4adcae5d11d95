"""A treadmill that splits each record into two packets (0x2ACD)."""

import math
import random
import struct
from collections.abc import Iterable

from healthd.simulator.fitness.control import MachineControl, Target
from healthd.simulator.fitness.machine import machine_part
from healthd.simulator.fitness.workout import Workout
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

# Bit 0 means "more of this record follows", and that this packet has no speed.
_FIRST_FLAGS = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 7  # distance, inclination and ramp, energy
_LAST_FLAGS = 1 << 1 | 1 << 8 | 1 << 10  # average speed, heart rate, elapsed time
_FEATURES, _SETTINGS = (0, 2, 3, 9, 10, 12), (0, 1)
# Minimum, maximum and step in 0.01 km/h and 0.1 %.
_SPEED_RANGE, _INCLINE_RANGE = (80, 2000, 10), (0, 150, 5)
_DEFAULT_INCLINE_PCT = 1.5
# The power of running as an equivalent cycling power: per m/s, and also per per cent of incline.
_W_PER_MPS, _W_PER_MPS_PERCENT = 55.0, 4.0
# Time constant of the belt: a change of speed takes some seconds.
_BELT_LAG_S = 1.5


class Treadmill:
    """A treadmill and its runner.

    Attributes:
        workout: Counters of the workout; the belt runs while the workout runs.
        control: The control point.
        target_mps: The target speed.
        incline_pct: The target incline.
    """

    def __init__(self, rng: random.Random) -> None:
        """Start at an easy pace.

        Args:
            rng: The random generator.
        """
        self._default_mps = self._speed_mps = rng.uniform(2.6, 3.1)
        self._slip = Wander(rng, 0.0, 0.02)
        self.workout = Workout(rng, self._default_mps * _W_PER_MPS)
        self.free()
        targets = {
            0x02: Target("H", 0x05, self._set_speed),
            0x03: Target("h", 0x06, self._set_incline),
        }
        self.control = MachineControl(self.workout, targets, self.free)

    def free(self) -> None:
        """Return to the speed and incline that the runner has chosen."""
        self.target_mps, self.incline_pct = self._default_mps, _DEFAULT_INCLINE_PCT

    def packets(self, elapsed: float) -> Iterable[bytes]:
        """Generate the two packets of the next Treadmill Data record."""
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
    """Return the parts of a treadmill: one record in two packets every ``period`` seconds."""
    return (treadmill_part(Treadmill(rng), period),)


def treadmill_part(machine: Treadmill, period: float) -> Part:
    """Return the service of this treadmill: one record in two packets every ``period`` seconds."""
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
