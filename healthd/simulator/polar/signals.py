"""Raw signals of a chest strap: the heart's voltage and the chest's acceleration."""

import math
import random

from healthd.simulator.wander import Wander

# The waves of a beat: their position and width as fractions of the beat, and their height in
# microvolts. Round numbers that resemble lead I of a healthy adult.
_WAVES = (
    (0.18, 0.025, 90.0),  # P
    (0.275, 0.008, -120.0),  # Q
    (0.30, 0.010, 1100.0),  # R
    (0.325, 0.009, -240.0),  # S
    (0.55, 0.050, 260.0),  # T
)
_NOISE_UV = 8.0
_BREATH_HZ = 0.25


class Electrocardiogram:
    """The voltage of a beating heart."""

    def __init__(self, rng: random.Random) -> None:
        """Start between two beats.

        Args:
            rng: The random generator.
        """
        self._rng = rng
        self._bpm = Wander(rng, 66.0, 2.0)
        self._phase = 0.0

    def sample(self, elapsed: float) -> tuple[int]:
        """Advance by ``elapsed`` seconds; return the voltage in microvolts."""
        self._phase = (self._phase + elapsed * self._bpm.step(elapsed) / 60.0) % 1.0
        wave = sum(
            height * math.exp(-(((self._phase - middle) / width) ** 2) / 2)
            for middle, width, height in _WAVES
        )
        return (round(wave + self._rng.gauss(0.0, _NOISE_UV)),)


class Chest:
    """The acceleration of the chest of a breathing person who sits upright."""

    def __init__(self, rng: random.Random) -> None:
        """Start with an inhalation.

        Args:
            rng: The random generator.
        """
        self._rng = rng
        self._elapsed_s = 0.0

    def sample(self, elapsed: float) -> tuple[int, int, int]:
        """Advance by ``elapsed`` seconds; return the acceleration along three axes in milli-g."""
        self._elapsed_s += elapsed
        breath = 12.0 * math.sin(2 * math.pi * _BREATH_HZ * self._elapsed_s)
        x, y, z = (self._rng.gauss(mean, 3.0) for mean in (-20.0, -985.0, 150.0 + breath))
        return round(x), round(y), round(z)
