"""Chance that looks like life: values that wander, and counters of things that turn."""

import math
import random

# How fast a value returns to its mean: seconds until about two thirds of a deviation are gone.
_MEMORY_S = 20.0


class Wander:
    """A value that wanders round a mean and never leaves its bounds.

    Attributes:
        value: where it is now.
        mean: where it is drawn to; may be moved.
    """

    def __init__(self, rng: random.Random, mean: float, spread: float) -> None:
        """Start near the mean.

        Args:
            rng: where chance comes from.
            mean: where it is drawn to.
            spread: its standard deviation; it stays within three of them.
        """
        self._rng = rng
        self._spread = spread
        self.mean = mean
        self.value = mean
        self.step(_MEMORY_S)

    def step(self, elapsed: float) -> float:
        """The value after some seconds."""
        kept = math.exp(-elapsed / _MEMORY_S)
        noise = self._spread * math.sqrt(1.0 - kept * kept)
        value = self.mean + kept * (self.value - self.mean) + self._rng.gauss(0.0, noise)
        reach = 3.0 * self._spread
        self.value = min(max(value, self.mean - reach), self.mean + reach)
        return self.value


class Revolutions:
    """Something that turns past a sensor, which notes the count and the time of the last pass.

    Attributes:
        count: whole revolutions, without a limit; may be set.
        event_s: when the last one was completed, in seconds of the sensor's clock.
    """

    def __init__(self, count: int = 0) -> None:
        """Start at rest.

        Args:
            count: revolutions so far.
        """
        self.count = count
        self.event_s = 0.0
        self._now_s = 0.0
        self._phase = 0.0

    def turn(self, elapsed: float, per_second: float) -> None:
        """Turn at this speed for some seconds."""
        self._now_s += elapsed
        self._phase += elapsed * per_second
        if passes := int(self._phase):
            self.count += passes
            self._phase -= passes
            self.event_s = self._now_s - self._phase / per_second

    def event(self, ticks_per_s: int) -> int:
        """The time of the last pass in ticks, as 16 bits."""
        return int(self.event_s * ticks_per_s) % 0x10000
