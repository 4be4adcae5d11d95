"""When heart beats were, from the intervals between them."""

from collections import deque
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

# Half a minute at one packet a second: long enough to hold one that came without delay, short
# enough that the sensor's clock (50 ppm) has not moved by more than 2 ms against ours.
_PACKETS = 30

# A sensor sends once a second, and the radio may hold a packet up for as long again, and again.
# What is further off is no delay: intervals are missing, or there are some that never were.
_ASTRAY_MS = 3000.0


class Placed(NamedTuple):
    """Where the beats of one packet are.

    Attributes:
        offsets_ms: of the beat that closes each interval, against the packet's arrival; never
            positive.
        follows: whether the first interval begins where the one before it ended.
    """

    offsets_ms: list[float]
    follows: bool


class Beats:
    """Adds intervals up, and ties their sum to our clock.

    The sensor measures an interval to a millisecond; a packet arrives up to a second or two after
    its beats, now sooner, now later. So the distance of two beats is the sum of the intervals
    between them, and arrival tells only where on our clock the sum lies: every packet arrives
    behind its last beat, therefore the one that seems to have come earliest, of the last thirty,
    was delayed least, and is taken for not delayed at all. That least delay itself cannot be seen
    from here. Thirty packets and no more, because the two clocks drift apart.

    Where sum and arrival are three seconds apart, one of them has lost the other, and the sum
    begins anew at this packet.
    """

    def __init__(self) -> None:
        """Begin with no beat."""
        self._origin_ns = 0
        self._sum_ms = 0.0
        self._delays_ms: deque[float] = deque(maxlen=_PACKETS)

    def pause(self) -> None:
        """The sensor has lost the heart: the next interval does not follow the last one."""
        self._delays_ms.clear()

    def place(self, intervals_ms: Iterable[float], mono_ns: int) -> Placed:
        """Place the beats of one packet.

        Args:
            intervals_ms: of the packet, oldest first.
            mono_ns: its arrival.
        """
        _, *sums_ms = accumulate(intervals_ms, initial=self._sum_ms)
        if not sums_ms:
            return Placed([], follows=True)
        self._sum_ms = sums_ms[-1]
        if not self._delays_ms:
            self._origin_ns = mono_ns
        arrival_ms = (mono_ns - self._origin_ns) / 1e6
        delay_ms = arrival_ms - self._sum_ms
        follows = bool(self._delays_ms) and abs(delay_ms - min(self._delays_ms)) <= _ASTRAY_MS
        if not follows:
            self._delays_ms.clear()
        self._delays_ms.append(delay_ms)
        start_ms = min(self._delays_ms) - arrival_ms
        return Placed([round(start_ms + beat_ms, 1) for beat_ms in sums_ms], follows)
