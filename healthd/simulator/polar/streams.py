"""The streams of a Polar H10: frames of samples with times from the sensor's clock."""

import random
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from healthd.simulator.numbers import int24
from healthd.simulator.polar.signals import Chest, Electrocardiogram

ECG, ACC = 0, 2

# After a shutdown the clock of an H10 starts at 2019-01-01, in nanoseconds since 2000-01-01.
_CLOCK_START_NS = 599_616_000 * 10**9
# The error of a watch crystal is some tens of parts per million.
_MAX_DRIFT = 40e-6


class SensorClock:
    """A clock that is not synchronised with the host's clock, and drifts.

    Attributes:
        drift: The fraction by which it runs faster than the host's clock.
    """

    def __init__(self, rng: random.Random) -> None:
        """Start the clock as if it had been switched on up to three hours ago.

        Args:
            rng: The random generator.
        """
        self.drift = rng.uniform(-_MAX_DRIFT, _MAX_DRIFT)
        self._base_ns = _CLOCK_START_NS + rng.randrange(10**13)
        self._since_s = time.monotonic()

    def at(self, moment: float) -> int:
        """Return its time in nanoseconds at a time of the host's monotonic clock in seconds."""
        return self._base_ns + round((moment - self._since_s) * (1.0 + self.drift) * 1e9)


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of measurement that can be streamed.

    Attributes:
        number: Number of the measurement type.
        frame: Number of the frame's layout.
        samples: The number of samples in each frame.
        options: The supported values of each setting, by the setting's number.
        encode: Encodes one sample.
    """

    number: int
    frame: int
    samples: int
    options: Mapping[int, tuple[int, ...]]
    encode: Callable[[tuple[int, ...]], bytes]


RATE, RESOLUTION, RANGE = 0, 1, 2

KINDS = {
    ECG: Kind(ECG, 0, 73, {RATE: (130,), RESOLUTION: (14,)}, lambda sample: int24(sample[0])),
    ACC: Kind(
        ACC,
        1,
        36,
        {RATE: (25, 50, 100, 200), RESOLUTION: (16,), RANGE: (2, 4, 8)},
        lambda sample: struct.pack("<3h", *sample),
    ),
}


@dataclass
class Stream:
    """A running stream.

    Attributes:
        kind: The measurement type.
        rate_hz: Samples per second, by the sensor's clock.
        clock: The sensor's clock.
        source: Returns the next sample, given the seconds since the previous sample.
        started_at: The start by the host's monotonic clock; the first frame is due one frame later.
        frames: The number of frames so far.
    """

    kind: Kind
    rate_hz: int
    clock: SensorClock
    source: Callable[[float], tuple[int, ...]]
    started_at: float = field(default_factory=time.monotonic)
    frames: int = 0

    @property
    def due(self) -> float:
        """When the next frame is complete, by the host's monotonic clock."""
        sensor_s = (self.frames + 1) * self.kind.samples / self.rate_hz
        return self.started_at + sensor_s / (1.0 + self.clock.drift)

    def frame(self) -> bytes:
        """Return the next frame; its time stamp is the time of its last sample."""
        head = struct.pack("<BQB", self.kind.number, self.clock.at(self.due), self.kind.frame)
        self.frames += 1
        step = 1.0 / self.rate_hz
        samples = (self.source(step) for _ in range(self.kind.samples))
        return head + b"".join(map(self.kind.encode, samples))


def sources(rng: random.Random) -> Mapping[int, Callable[[float], tuple[int, ...]]]:
    """Return the functions that generate samples, by measurement type."""
    return {ECG: Electrocardiogram(rng).sample, ACC: Chest(rng).sample}
