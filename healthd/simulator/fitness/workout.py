"""A person's workout on a machine: power, duration, distance, energy and heart rate."""

import random
import struct

from healthd.simulator.wander import Wander

# The human body turns about a quarter of the energy it burns into work.
_EFFICIENCY = 0.24
_JOULES_PER_KCAL = 4184.0
_RESTING_BPM, _BPM_PER_W = 75.0, 0.35
# Time constant with which the heart rate follows the load.
_HEART_LAG_S = 25.0
_FASTEST_BPM = 190.0


class Workout:
    """The counters of a workout and the heart rate.

    Attributes:
        running: Whether time, distance and energy are counted.
        elapsed_s: Time since the start.
        distance_m: Distance since the start.
        energy_kcal: Energy burnt since the start.
        power_w: Mechanical power of the last step.
        heart_rate_bpm: Heart rate, which follows the power.
    """

    def __init__(self, rng: random.Random, power_w: float) -> None:
        """Start after the warm-up.

        Args:
            rng: The random generator.
            power_w: The power to which the heart rate has already adapted.
        """
        self._variation = Wander(rng, 0.0, 1.0)
        self.running = True
        self.elapsed_s = 0.0
        self.distance_m = 0.0
        self.energy_kcal = 0.0
        self.power_w = power_w
        self.heart_rate_bpm = _RESTING_BPM + _BPM_PER_W * power_w

    def advance(self, elapsed: float, power_w: float, speed_mps: float) -> None:
        """Work for ``elapsed`` seconds."""
        self.power_w = power_w
        wanted = min(_RESTING_BPM + _BPM_PER_W * power_w, _FASTEST_BPM)
        pull = min(1.0, elapsed / _HEART_LAG_S)
        self.heart_rate_bpm += pull * (wanted - self.heart_rate_bpm)
        self._variation.step(elapsed)
        if self.running:
            self.elapsed_s += elapsed
            self.distance_m += elapsed * speed_mps
            self.energy_kcal += elapsed * self._kcal_per_s

    def reset(self) -> None:
        """Reset the counters to zero."""
        self.elapsed_s = self.distance_m = self.energy_kcal = 0.0

    @property
    def energy(self) -> bytes:
        """Encoded energy, five bytes: kcal in total (u16), per hour (u16) and per minute (u8)."""
        return struct.pack(
            "<HHB",
            int(self.energy_kcal) % 0xFFFF,
            round(self._kcal_per_s * 3600.0),
            round(self._kcal_per_s * 60.0),
        )

    @property
    def heart_rate(self) -> bytes:
        """Encoded heart rate: beats per minute (u8)."""
        return bytes([round(self.heart_rate_bpm + self._variation.value)])

    @property
    def elapsed(self) -> bytes:
        """Encoded elapsed time: whole seconds (u16)."""
        return struct.pack("<H", int(self.elapsed_s) % 0x10000)

    @property
    def distance(self) -> bytes:
        """Encoded distance: whole metres (u24)."""
        return (int(self.distance_m) % 0x1000000).to_bytes(3, "little")

    @property
    def _kcal_per_s(self) -> float:
        return self.power_w / _EFFICIENCY / _JOULES_PER_KCAL
