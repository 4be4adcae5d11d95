"""Computes the times of heart beats from the intervals between them."""

from collections import deque
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

# Half a minute at one packet a second: long enough to include a packet that arrived without delay,
# short enough that the sensor's clock (50 ppm) drifts by less than 2 ms.
_PACKETS = 30

# A sensor sends once a second, and the radio may delay a packet by another second or two. A greater
# difference is not a delay: intervals are missing, or extra ones were sent.
_MOST_DELAY_MS = 3000.0

# A single wrong interval has up to 64 s. The intervals of a packet that has more say nothing about
# when its beats were: a link ends after 32 s of silence (Core Specification: supervision timeout).
_MOST_SPAN_MS = 120_000.0


class Placed(NamedTuple):
    """The times of the beats of one packet.

    Attributes:
        offsets_ms: the time of the beat that ends each interval, relative to the packet's arrival;
            never positive, and never more than 123 s before it. None if they are not known.
        follows: whether the first interval begins where the interval before it ended.
    """

    offsets_ms: list[float] | None
    follows: bool


class Beats:
    """Adds up intervals, and aligns their sum with our clock.

    The sensor measures intervals to a millisecond, but a packet arrives up to a second or two after
    its beats, with a varying delay. So the time between two beats is the sum of the intervals
    between them, and arrivals only align that sum with our clock. Every packet arrives after its
    last beat. Of the last thirty packets, the one with the least delay is assumed to have none;
    its actual delay cannot be observed. No more than thirty, because the two clocks drift apart.

    If the sum and an arrival differ by more than three seconds, intervals are missing or wrong, and
    the sum starts again at this packet.
    """

    def __init__(self) -> None:
        """Start without a beat."""
        self._origin_ns = 0
        self._sum_ms = 0.0
        self._delays_ms: deque[float] = deque(maxlen=_PACKETS)

    def pause(self) -> None:
        """Note that the sensor lost the signal: the next interval does not follow the last one."""
        self._delays_ms.clear()

    def place(self, intervals_ms: Iterable[float], mono_ns: int) -> Placed:
        """Return the times of the beats of one packet.

        Args:
            intervals_ms: the packet's intervals, oldest first.
            mono_ns: when the packet arrived.
        """
        _, *sums_ms = accumulate(intervals_ms, initial=self._sum_ms)
        if not sums_ms:
            return Placed([], follows=True)
        if sums_ms[-1] - self._sum_ms > _MOST_SPAN_MS:
            self.pause()
            return Placed(None, follows=False)
        self._sum_ms = sums_ms[-1]
        if not self._delays_ms:
            self._origin_ns = mono_ns
        arrival_ms = (mono_ns - self._origin_ns) / 1e6
        delay_ms = arrival_ms - self._sum_ms
        follows = bool(self._delays_ms) and abs(delay_ms - min(self._delays_ms)) <= _MOST_DELAY_MS
        if not follows:
            self._delays_ms.clear()
        self._delays_ms.append(delay_ms)
        start_ms = min(self._delays_ms) - arrival_ms
        return Placed([round(start_ms + beat_ms, 1) for beat_ms in sums_ms], follows)
