"""Heart-rate variability over a window: RMSSD and SDNN.

Definitions: Task Force of the ESC and NASPE, Heart rate variability, Circulation 93 (1996). No
library is used: the available ones need numpy and scipy, which take more memory than all of healthd
may use, for two sums and a median of five numbers.
"""

from collections import deque
from collections.abc import Iterable
from math import sqrt
from typing import Annotated, ClassVar

from healthd.profiles.link_state import Timed
from healthd.samples import Measurement, quantity

# 200 and 30 beats a minute: variability describes hearts at rest. A shorter interval is mostly a
# false detection (T waves, muscles), a longer one a missed beat.
_SHORTEST_MS, _LONGEST_MS = 300.0, 2000.0

# The 20 % of Malik's rule, but compared with the median of the neighbours: one wrong interval must
# not reject the good one after it. A young heart whose rate varies more than that with the breath
# loses beats to this rule; ``rejected_beats`` counts them.
_MOST_DEVIATION = 0.2

# Two neighbours on each side: one wrong beat and the long one after it do not move the median.
_SIDE = 2


class HeartRateVariability(Measurement):
    """How much the intervals between beats varied in a window that has just ended.

    Only normal intervals count: 300 to 2000 ms long, and within 20 % of the median of five
    intervals: the two before it, itself, and the two after it. Differences are computed between
    consecutive intervals, never across one that was rejected or lost.
    """

    kind: ClassVar[str] = "heart_rate_variability"

    rmssd_ms: Annotated[float | None, quantity("ms")]
    """Root of the mean square of successive differences; ``null`` without any."""
    sdnn_ms: Annotated[float | None, quantity("ms", loinc="80404-7")]
    """Standard deviation of the intervals; ``null`` with fewer than two."""
    beats: Annotated[int, quantity("{beats}")]
    """The number of normal intervals. If it is small for the window, the sensor was mostly off."""
    rejected_beats: Annotated[int, quantity("{beats}")]
    window_s: Annotated[float, quantity("s")]


class Variability:
    """Sums up intervals, window by window. It keeps five of them, however long the window is."""

    def __init__(self, window_s: float) -> None:
        """Start with the first window at the first packet."""
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
        """Return the window that has ended by now, if it has any beats; its time is its end."""
        if self._end_ns is None:
            self._end_ns = mono_ns + self._window_ns
        if mono_ns < self._end_ns:
            return None
        ended = Timed(self._result(), self._end_ns) if self._beats + self._rejected else None
        # Windows keep their rhythm; those in which nothing arrived are skipped.
        self._end_ns += ((mono_ns - self._end_ns) // self._window_ns + 1) * self._window_ns
        self._begin()
        return ended

    def add(self, intervals_ms: Iterable[float], *, follows: bool) -> None:
        """Add one packet's intervals.

        Args:
            intervals_ms: the intervals, oldest first.
            follows: whether the first interval begins where the last packet's ended.
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
        """Count or reject the oldest interval that is not judged yet."""
        interval_ms = self._near[-self._unjudged]
        self._unjudged -= 1
        median = sorted(self._near)[len(self._near) // 2]
        if abs(interval_ms - median) > _MOST_DEVIATION * median:
            self._rejected += 1
            self._before = None
            return
        self._beats += 1
        # Welford's algorithm: a plain sum of squares over a day would lose significant digits.
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
