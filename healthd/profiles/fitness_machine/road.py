"""How hard a simulated road is: a wind or a rolling resistance brakes a rider as a climb does.

The force against a rider is gravity, rolling resistance and air:

    m g (sin(slope) + crr cos(slope)) + 0.5 cw air |air|    with air = speed + head wind

The Fitness Machine Service defines cw as frontal
area times drag coefficient times air density, so the half stays outside, as in Martin et al. 1998
(Validation of a Mathematical Model for Road Cycling Power) and in the simulation of ANT+ FE-C.
"""

import math
from dataclasses import dataclass

_GRAVITY = 9.80665

# Rider and bicycle: the defaults of ANT+ FE-C, 75 kg and 10 kg.
_MASS_KG = 85.0

# An ordinary road, as Zwift simulates it; also the default of a request.
_USUAL_CRR, _USUAL_CW = 0.004, 0.51

FASTEST_MPS = 12.5
"""Wind and air count up to this speed, 45 km/h: that takes a strong rider on a flat road."""

CLIMBING_MPS = 4.0
"""The speed at which the power of a road counts: 14.4 km/h.

A road bicycle has it in its lowest gear (34/28) at 94 turns a minute, so a rider who has to go more
slowly is close to standing still.
"""


@dataclass(frozen=True, slots=True)
class Road:
    """A simulated road.

    Attributes:
        grade_pct: slope.
        wind_speed_mps: head wind; negative for a tail wind.
        crr: coefficient of rolling resistance.
        cw_kg_per_m: coefficient of wind resistance.
    """

    grade_pct: float
    wind_speed_mps: float
    crr: float
    cw_kg_per_m: float

    def force_n(self, speed_mps: float) -> float:
        """Return the force against a rider at this speed."""
        slope = math.atan(self.grade_pct / 100)
        weight = _MASS_KG * _GRAVITY * (math.sin(slope) + self.crr * math.cos(slope))
        return weight + self._drag_n(speed_mps)

    def power_w(self) -> float:
        """Return the power that the road takes at ``CLIMBING_MPS``."""
        return self.force_n(CLIMBING_MPS) * CLIMBING_MPS

    def equivalent_grades_pct(self) -> tuple[float, float]:
        """Return the lowest and highest grade of an ordinary road that brakes as this one does.

        Over all speeds from 0 to ``FASTEST_MPS``. An ordinary road has its own grade at each speed.
        """
        grades = [self._equivalent_grade_pct(speed) for speed in self._extremes_mps()]
        return min(grades), max(grades)

    def _equivalent_grade_pct(self, speed_mps: float) -> float:
        usual_drag = 0.5 * _USUAL_CW * speed_mps**2
        extra = (self._drag_n(speed_mps) - usual_drag) / (_MASS_KG * _GRAVITY)
        return self.grade_pct + 100 * (self.crr - _USUAL_CRR + extra)

    def _drag_n(self, speed_mps: float) -> float:
        air = speed_mps + self.wind_speed_mps
        return 0.5 * self.cw_kg_per_m * air * abs(air)

    def _extremes_mps(self) -> list[float]:
        """Return all speeds at which the equivalent grade can be lowest or highest.

        It is a parabola on each side of the speed at which the air stands still, so these are the
        ends, that speed, and the two vertices.
        """
        wind, cw = self.wind_speed_mps, self.cw_kg_per_m
        vertices = [
            -sign * cw * wind / (sign * cw - _USUAL_CW)
            for sign in (1, -1)
            if sign * cw != _USUAL_CW
        ]
        inner = [speed for speed in (-wind, *vertices) if 0 < speed < FASTEST_MPS]
        return [0.0, FASTEST_MPS, *inner]
