"""Random values that vary around a mean, and counters of revolutions."""

import math
import random

# Time constant of the return to the mean: after this time about a third of a deviation is left.
_MEMORY_S = 20.0


class Wander:
    """A random value that varies around a mean within fixed bounds.

    Attributes:
        value: The current value.
        mean: The mean; may be changed.
    """

    def __init__(self, rng: random.Random, mean: float, spread: float) -> None:
        """Start near the mean.

        Args:
            rng: The random generator.
            mean: The mean.
            spread: The standard deviation; the value stays within three standard deviations.
        """
        self._rng = rng
        self._spread = spread
        self.mean = mean
        self.value = mean
        self.step(_MEMORY_S)

    def step(self, elapsed: float) -> float:
        """Advance by ``elapsed`` seconds and return the new value."""
        kept = math.exp(-elapsed / _MEMORY_S)
        noise = self._spread * math.sqrt(1.0 - kept * kept)
        value = self.mean + kept * (self.value - self.mean) + self._rng.gauss(0.0, noise)
        reach = 3.0 * self._spread
        self.value = min(max(value, self.mean - reach), self.mean + reach)
        return self.value


class Revolutions:
    """A wheel or crank with a sensor that counts its revolutions and the time of the last one.

    Attributes:
        count: Complete revolutions, without an upper limit; may be changed.
        event_s: When the last revolution was completed, in seconds of the sensor's clock.
    """

    def __init__(self, count: int = 0) -> None:
        """Start at rest.

        Args:
            count: The revolutions so far.
        """
        self.count = count
        self.event_s = 0.0
        self._now_s = 0.0
        self._phase = 0.0

    def turn(self, elapsed: float, per_second: float) -> None:
        """Turn for ``elapsed`` seconds at a speed in revolutions per second."""
        self._now_s += elapsed
        self._phase += elapsed * per_second
        if completed := int(self._phase):
            self.count += completed
            self._phase -= completed
            self.event_s = self._now_s - self._phase / per_second

    def event(self, ticks_per_s: int) -> int:
        """Return the time of the last complete revolution in ticks, modulo 65536."""
        return int(self.event_s * ticks_per_s) % 0x10000
