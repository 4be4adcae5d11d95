"""Heart-rate variability over a window: RMSSD and SDNN.

Definitions: Task Force of the ESC and NASPE, Heart rate variability, Circulation 93 (1996). No
library: those that there are stand on numpy and scipy, which take more memory than all of healthd
may, for two sums and a median of five numbers.
"""

from collections import deque
from collections.abc import Iterable
from math import sqrt
from typing import Annotated, ClassVar

from healthd.profiles.characteristic import Timed
from healthd.samples import Measurement, quantity

# 200 and 30 beats a minute: variability is told of hearts at rest. What is shorter is mostly a
# detection too many (T waves, muscles), what is longer a missed beat.
_SHORTEST_MS, _LONGEST_MS = 300.0, 2000.0

# The fifth of Malik's rule, but against the neighbours' median: one stray interval must not condemn
# the good one behind it. A young heart that sways more than that with the breath loses beats to
# the rule, and ``rejected_beats`` says so.
_STRAY = 0.2

# Two neighbours on each side: one stray beat, and the long one behind it, do not move the median.
_SIDE = 2


class HeartRateVariability(Measurement):
    """How much the intervals between beats varied in a window that has just ended.

    Only normal intervals count: 300 to 2000 ms long, and within 20 % of the median of five: the
    two before, it, and the two behind it. Differences are taken between intervals that follow
    each other, never across one that was rejected or lost.
    """

    kind: ClassVar[str] = "heart_rate_variability"

    rmssd_ms: Annotated[float | None, quantity("ms")]
    """Root of the mean square of successive differences; None without any."""
    sdnn_ms: Annotated[float | None, quantity("ms", loinc="80404-7")]
    """Standard deviation of the intervals; None with fewer than two."""
    beats: Annotated[int, quantity("{beats}")]
    """Intervals that count. Few of them in a long window: the sensor was off most of the time."""
    rejected_beats: Annotated[int, quantity("{beats}")]
    window_s: Annotated[float, quantity("s")]


class Variability:
    """Sums intervals up, window after window. Keeps five of them, however long the window is."""

    def __init__(self, window_s: float) -> None:
        """The first window begins with the first packet."""
        self._window_s = window_s
        self._window_ns = int(window_s * 1e9)
        self._end_ns: int | None = None
        self._near: deque[float] = deque(maxlen=2 * _SIDE + 1)
        self._unjudged = 0
        self._before: float | None = None
        self._begin()

    def _begin(self) -> None:
        self._beats = self._rejected = self._differences = 0
        self._mean = self._spread = self._squares = 0.0

    def until(self, mono_ns: int) -> Timed | None:
        """The window that ended by now, if one did and held any beats; of the time of its end."""
        if self._end_ns is None:
            self._end_ns = mono_ns + self._window_ns
        if mono_ns < self._end_ns:
            return None
        ended = Timed(self._result(), self._end_ns) if self._beats + self._rejected else None
        # Windows stay in step; those in which nothing arrived are passed over.
        self._end_ns += ((mono_ns - self._end_ns) // self._window_ns + 1) * self._window_ns
        self._begin()
        return ended

    def take(self, intervals_ms: Iterable[float], *, follows: bool) -> None:
        """Take one packet's intervals.

        Args:
            intervals_ms: oldest first.
            follows: whether the first one begins where the last packet's ended.
        """
        if not follows:
            self._break_off()
        for interval_ms in intervals_ms:
            if not _SHORTEST_MS <= interval_ms <= _LONGEST_MS:
                self._rejected += 1
                self._break_off()
                continue
            self._near.append(interval_ms)
            self._unjudged += 1
            if self._unjudged > _SIDE:
                self._judge()

    def _break_off(self) -> None:
        while self._unjudged:
            self._judge()
        self._near.clear()
        self._before = None

    def _judge(self) -> None:
        """Count the oldest of those that are not judged yet, or reject it."""
        interval_ms = self._near[-self._unjudged]
        self._unjudged -= 1
        median = sorted(self._near)[len(self._near) // 2]
        if abs(interval_ms - median) > _STRAY * median:
            self._rejected += 1
            self._before = None
            return
        self._beats += 1
        # Welford's way: a sum of squares over a day would lose the digits that matter.
        off = interval_ms - self._mean
        self._mean += off / self._beats
        self._spread += off * (interval_ms - self._mean)
        if self._before is not None:
            self._differences += 1
            self._squares += (interval_ms - self._before) ** 2
        self._before = interval_ms

    def _result(self) -> HeartRateVariability:
        beats, differences = self._beats, self._differences
        return HeartRateVariability(
            rmssd_ms=round(sqrt(self._squares / differences), 2) if differences else None,
            sdnn_ms=round(sqrt(self._spread / (beats - 1)), 2) if beats > 1 else None,
            beats=beats,
            rejected_beats=self._rejected,
            window_s=self._window_s,
        )
