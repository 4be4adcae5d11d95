"""A moving bicycle: wheel, crank and power, as its sensors measure them."""

import math
import random

from healthd.simulator.wander import Revolutions, Wander

# A 700x25C road tyre.
CIRCUMFERENCE_M = 2.105


class Bicycle:
    """A bicycle and its rider on a road.

    Attributes:
        wheel: Revolutions of the wheel.
        crank: Revolutions of the crank.
        power_w: Current power.
        cadence_rpm: Current cadence.
        torque_nm: Accumulated torque: the sum of the mean torques of all crank revolutions.
        energy_kj: Accumulated energy.
    """

    def __init__(self, rng: random.Random) -> None:
        """Start while riding, with sensors that have counted before.

        Args:
            rng: The random generator.
        """
        self._speed_mps = Wander(rng, rng.uniform(7.5, 9.0), 0.3)
        self._cadence = Wander(rng, rng.uniform(82.0, 92.0), 2.0)
        self._power = Wander(rng, rng.uniform(180.0, 220.0), 12.0)
        self.wheel = Revolutions(rng.randrange(1 << 20))
        self.crank = Revolutions(rng.randrange(1 << 16))
        self.torque_nm = 0.0
        self.energy_kj = 0.0

    @property
    def power_w(self) -> float:
        """Current power in W."""
        return self._power.value

    @property
    def cadence_rpm(self) -> float:
        """Current cadence in crank revolutions per minute."""
        return self._cadence.value

    def ride(self, elapsed: float) -> None:
        """Ride for ``elapsed`` seconds."""
        speed = self._speed_mps.step(elapsed)
        rpm = self._cadence.step(elapsed)
        power = self._power.step(elapsed)
        self.wheel.turn(elapsed, speed / CIRCUMFERENCE_M)
        before = self.crank.count
        self.crank.turn(elapsed, rpm / 60.0)
        # Mean torque over a revolution: energy divided by angle.
        self.torque_nm += (self.crank.count - before) * self.mean_torque_nm
        self.energy_kj += power * elapsed / 1000.0

    @property
    def mean_torque_nm(self) -> float:
        """Mean torque of the current revolution in Nm."""
        return self._power.value * 60.0 / (2.0 * math.pi * self._cadence.value)
