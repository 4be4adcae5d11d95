"""A bicycle under way: wheel, crank and power, as its sensors see them."""

import math
import random

from healthd.simulator.wander import Revolutions, Wander

# 700x25C, the most common road tyre.
CIRCUMFERENCE_M = 2.105


class Bicycle:
    """Somebody who rides on a road.

    Attributes:
        wheel: passes of the wheel's magnet.
        crank: passes of the crank.
        power_w: pushed now.
        cadence_rpm: turned now.
        torque_nm: the sum, over all revolutions of the crank, of the mean torque of each.
        energy_kj: pushed so far.
    """

    def __init__(self, rng: random.Random) -> None:
        """Start on the road, with sensors that have counted before.

        Args:
            rng: where chance comes from.
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
        """Pushed now, in W."""
        return self._power.value

    @property
    def cadence_rpm(self) -> float:
        """Revolutions of the crank a minute."""
        return self._cadence.value

    def ride(self, elapsed: float) -> None:
        """Ride on for some seconds."""
        speed, rpm, power = (
            one.step(elapsed) for one in (self._speed_mps, self._cadence, self._power)
        )
        self.wheel.turn(elapsed, speed / CIRCUMFERENCE_M)
        before = self.crank.count
        self.crank.turn(elapsed, rpm / 60.0)
        # Mean torque over a revolution: energy through its angle.
        self.torque_nm += (self.crank.count - before) * self.mean_torque_nm
        self.energy_kj += power * elapsed / 1000.0

    @property
    def mean_torque_nm(self) -> float:
        """Of the revolution under way, in Nm."""
        return self._power.value * 60.0 / (2.0 * math.pi * self._cadence.value)
