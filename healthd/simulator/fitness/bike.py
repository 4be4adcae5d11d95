"""A smart trainer: an indoor bike that follows its control point (0x2AD2)."""

import math
import random
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from healthd.simulator.fitness.control import MachineControl, Target
from healthd.simulator.fitness.machine import machine_part
from healthd.simulator.fitness.workout import Workout
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

# Flags: cadence, distance, resistance, power, energy, heart rate, elapsed time; the speed is
# present because bit 0 is clear.
_FLAGS = 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 11
_FEATURES, _SETTINGS = (1, 2, 7, 9, 10, 12, 14), (2, 3, 13)
_MAX_POWER_W = 1000
# Resistance levels 0 to 100 and the default level 20, in tenths.
_MAX_RESISTANCE, _DEFAULT_RESISTANCE = 1000, 200
# Time constant of the brake: it reaches its target after about three times this.
_BRAKE_LAG_S = 0.7
# Rider and bike.
_MASS_KG, _GRAVITY = 83.0, 9.81
# The rider's power without a target: on a flat road, and the increase per per cent of grade.
_FREE_POWER_W, _W_PER_PERCENT = 170.0, 25.0
_FASTEST_MPS = 25.0


@dataclass(slots=True)
class Road:
    """The road that a simulation request describes.

    Attributes:
        wind_mps: Headwind.
        grade_pct: Grade, positive uphill.
        rolling: Coefficient of rolling resistance.
        drag_kg_per_m: Product of frontal area, drag coefficient and air density.
    """

    wind_mps: float = 0.0
    grade_pct: float = 0.0
    rolling: float = 0.004
    drag_kg_per_m: float = 0.51

    def speed_mps(self, power_w: float) -> float:
        """Return the speed at which the resistance consumes this power."""
        slow, fast = 0.0, _FASTEST_MPS
        for _ in range(30):
            middle = (slow + fast) / 2
            air = middle + self.wind_mps
            force = _MASS_KG * _GRAVITY * (self.rolling + self.grade_pct / 100.0)
            force += 0.5 * self.drag_kg_per_m * air * abs(air)
            slow, fast = (middle, fast) if force * middle < power_w else (slow, middle)
        return slow


class Bike:
    """A smart trainer and its rider.

    Attributes:
        workout: Counters of the workout.
        control: The control point.
        target_w: The power that the brake holds; None to simulate the road.
        road: The simulated road.
    """

    def __init__(self, rng: random.Random) -> None:
        """Start as a free ride.

        Args:
            rng: The random generator.
        """
        self._cadence_rpm = Wander(rng, 86.0, 3.0)
        self._legs = Wander(rng, 0.0, 4.0)
        self._power_w = _FREE_POWER_W
        self.workout = Workout(rng, _FREE_POWER_W)
        self.free()
        targets = {
            0x04: Target("h", 0x07, self._set_resistance),
            0x05: Target("h", 0x08, self._set_power),
            0x11: Target("hhBB", 0x12, self._set_road),
        }
        self.control = MachineControl(self.workout, targets, self.free)

    @property
    def cadence_rpm(self) -> float:
        """How fast the rider pedals."""
        return self._cadence_rpm.value

    def free(self) -> None:
        """Return to a flat road, the rider's own power and the default resistance."""
        self.road = Road()
        self.target_w: float | None = None
        self._resistance = _DEFAULT_RESISTANCE

    def packets(self, elapsed: float) -> Iterable[bytes]:
        """Generate the next Indoor Bike Data record, in one packet."""
        self._ride(elapsed)
        turning = self.workout.running
        speed = self.road.speed_mps(self._power_w) if turning else 0.0
        self.workout.advance(elapsed, self._power_w if turning else 0.0, speed)
        yield b"".join(
            (
                struct.pack("<HH", _FLAGS, round(speed * 360.0)),
                struct.pack("<H", round(self._cadence_rpm.value * 2) if turning else 0),
                self.workout.distance,
                struct.pack("<hh", self._resistance, round(self.workout.power_w)),
                self.workout.energy,
                self.workout.heart_rate,
                self.workout.elapsed,
            )
        )

    def _ride(self, elapsed: float) -> None:
        self._cadence_rpm.step(elapsed)
        wanted = self.target_w
        if wanted is None:
            wanted = _FREE_POWER_W + _W_PER_PERCENT * max(-5.0, self.road.grade_pct)
            wanted += self._legs.step(elapsed)
        reached = 1.0 - math.exp(-elapsed / _BRAKE_LAG_S)
        self._power_w += reached * (wanted - self._power_w)

    def _set_resistance(self, tenths: int) -> bool:
        if not 0 <= tenths <= _MAX_RESISTANCE:
            return False
        self._resistance, self.target_w = tenths, 60.0 + 0.4 * tenths
        return True

    def _set_power(self, watts: int) -> bool:
        if not 0 <= watts <= _MAX_POWER_W:
            return False
        self.target_w = float(watts)
        return True

    def _set_road(self, wind: int, grade: int, rolling: int, drag: int) -> bool:
        self.road = Road(wind / 1000.0, grade / 100.0, rolling / 10000.0, drag / 100.0)
        self.target_w = None
        return True


def indoor_bike(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of an indoor bike, with one record every ``period`` seconds."""
    return (bike_part(Bike(rng), period),)


def bike_part(bike: Bike, period: float) -> Part:
    """Return the service of this bike, with one record every ``period`` seconds."""
    return machine_part(
        0x2AD2,
        bike.packets,
        period,
        features=_FEATURES,
        settings=_SETTINGS,
        ranges={
            0x2AD6: struct.pack("<hhH", 0, _MAX_RESISTANCE, 1),
            0x2AD8: struct.pack("<hhH", 0, _MAX_POWER_W, 1),
        },
        control=bike.control,
    )
