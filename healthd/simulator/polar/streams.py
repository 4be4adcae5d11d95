"""The streams of a Polar H10: frames of samples, with the time of the sensor's own clock."""

import random
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from healthd.simulator.numbers import int24
from healthd.simulator.polar.signals import Chest, Electrocardiogram

ECG, ACC = 0, 2

# After a shut-down an H10 counts from 2019-01-01; its times are nanoseconds since 2000-01-01.
_CLOCK_START_NS = 599_616_000 * 10**9
# A watch crystal is some tens of millionths off.
_MOST_DRIFT = 40e-6


class SensorClock:
    """A clock that knows nothing of ours, and goes a little wrong.

    Attributes:
        drift: how much faster it goes than ours.
    """

    def __init__(self, rng: random.Random) -> None:
        """Switch it on some hours ago.

        Args:
            rng: where chance comes from.
        """
        self.drift = rng.uniform(-_MOST_DRIFT, _MOST_DRIFT)
        self._base_ns = _CLOCK_START_NS + rng.randrange(10**13)
        self._since_s = time.monotonic()

    def at(self, moment: float) -> int:
        """What it shows, in nanoseconds, at a moment of our monotonic clock in seconds."""
        return self._base_ns + round((moment - self._since_s) * (1.0 + self.drift) * 1e9)


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be streamed.

    Attributes:
        number: of the type of measurement.
        frame: number of the frame's layout.
        samples: in each frame.
        options: what each setting may be, by the setting's number.
        encode: one sample.
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
    """One stream that was started.

    Attributes:
        kind: of what.
        rate_hz: samples in a second, by the sensor's clock.
        clock: the sensor's.
        source: makes the next sample; given the seconds since the one before.
        begun_at: moment of our monotonic clock; the first frame is full one frame later.
        frames: how many were made.
    """

    kind: Kind
    rate_hz: int
    clock: SensorClock
    source: Callable[[float], tuple[int, ...]]
    begun_at: float = field(default_factory=time.monotonic)
    frames: int = 0

    @property
    def due(self) -> float:
        """When the next frame is full, as a moment of our monotonic clock."""
        sensor_s = (self.frames + 1) * self.kind.samples / self.rate_hz
        return self.begun_at + sensor_s / (1.0 + self.clock.drift)

    def frame(self) -> bytes:
        """The next frame; its time is that of its last sample."""
        head = struct.pack("<BQB", self.kind.number, self.clock.at(self.due), self.kind.frame)
        self.frames += 1
        step = 1.0 / self.rate_hz
        samples = (self.source(step) for _ in range(self.kind.samples))
        return head + b"".join(map(self.kind.encode, samples))


def sources(rng: random.Random) -> Mapping[int, Callable[[float], tuple[int, ...]]]:
    """What makes the samples of each kind."""
    return {ECG: Electrocardiogram(rng).sample, ACC: Chest(rng).sample}
