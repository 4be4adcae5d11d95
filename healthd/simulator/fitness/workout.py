"""Who works on a machine: how hard, for how long, and what it costs."""

import random
import struct

from healthd.simulator.wander import Wander

# A human turns about a quarter of what is burnt into work.
_EFFICIENCY = 0.24
_JOULES_PER_KCAL = 4184.0
_RESTING_BPM, _BPM_PER_W = 75.0, 0.35
# A heart follows the load within half a minute or so.
_HEART_LAG_S = 25.0
_FASTEST_BPM = 190.0


class Workout:
    """A workout on a machine; it goes on while the machine is not stopped.

    Attributes:
        running: whether time, distance and energy count.
        elapsed_s: since the start.
        distance_m: since the start.
        energy_kcal: burnt since the start.
        power_w: mechanical power of the last step.
        heart_rate_bpm: follows the power.
    """

    def __init__(self, rng: random.Random, power_w: float) -> None:
        """Start warmed up.

        Args:
            rng: where chance comes from.
            power_w: what the heart is used to already.
        """
        self._restless = Wander(rng, 0.0, 1.0)
        self.running = True
        self.elapsed_s = 0.0
        self.distance_m = 0.0
        self.energy_kcal = 0.0
        self.power_w = power_w
        self.heart_rate_bpm = _RESTING_BPM + _BPM_PER_W * power_w

    def advance(self, elapsed: float, power_w: float, speed_mps: float) -> None:
        """Work for some seconds."""
        self.power_w = power_w
        wanted = min(_RESTING_BPM + _BPM_PER_W * power_w, _FASTEST_BPM)
        pull = min(1.0, elapsed / _HEART_LAG_S)
        self.heart_rate_bpm += pull * (wanted - self.heart_rate_bpm)
        self._restless.step(elapsed)
        if self.running:
            self.elapsed_s += elapsed
            self.distance_m += elapsed * speed_mps
            self.energy_kcal += elapsed * self._kcal_per_s

    def reset(self) -> None:
        """Count from zero again."""
        self.elapsed_s = self.distance_m = self.energy_kcal = 0.0

    @property
    def energy(self) -> bytes:
        """The block of five bytes: kcal in total (u16), an hour (u16) and a minute (u8)."""
        return struct.pack(
            "<HHB",
            int(self.energy_kcal) % 0xFFFF,
            round(self._kcal_per_s * 3600.0),
            round(self._kcal_per_s * 60.0),
        )

    @property
    def heart_rate(self) -> bytes:
        """Beats a minute (u8)."""
        return bytes([round(self.heart_rate_bpm + self._restless.value)])

    @property
    def elapsed(self) -> bytes:
        """Whole seconds (u16)."""
        return struct.pack("<H", int(self.elapsed_s) % 0x10000)

    @property
    def distance(self) -> bytes:
        """Whole metres (u24)."""
        return (int(self.distance_m) % 0x1000000).to_bytes(3, "little")

    @property
    def _kcal_per_s(self) -> float:
        return self.power_w / _EFFICIENCY / _JOULES_PER_KCAL
