"""Determines how fast a sensor really samples, and what was lost, from arrivals alone.

A sensor that sends no stamps shows its rate only by how often its frames arrive. The radio delays
frames, lets several wait and delivers them at once, and frames may be lost. So a single interval
between two arrivals says little, but most intervals are the duration of one frame, give or take a
delay. Delays cancel out in the sum of such intervals.
"""

from collections import deque
from statistics import median
from typing import NamedTuple

# An interval of 0.5 to 1.5 frames is that of consecutive frames: a lost frame makes it two, and
# frames that waited together arrive at once.
_SHORTEST, _LONGEST = 0.5, 1.5

# How many intervals show that the announced rate is wrong. Of more of them, the median is right
# even if frames waited for ten seconds and then arrived at once.
_CONVINCED = 8
_RECENT = 31

# How many consecutive frames count: at two frames a second their delays of 0.1 s change the rate by
# less than 0.1 %. Some minutes: a quartz drifts with temperature.
_FRAMES = 256


class Interval(NamedTuple):
    """The time since the frame before.

    Attributes:
        ratio: how many frames would have fit into it.
        follows: whether it is the time of one frame.
    """

    ratio: float
    follows: bool

    @property
    def waited(self) -> bool:
        """Whether the frame waited for the one before: both were delivered at once."""
        return self.ratio < _SHORTEST


class Pace:
    """The real rate of one stream.

    Attributes:
        period_ns: time from one sample to the next; None if it is not known yet.
    """

    def __init__(self, period_ns: float | None) -> None:
        """Start with the announced period; None if there is none."""
        self.period_ns = period_ns
        self._arrival_ns: int | None = None
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._frames: deque[tuple[int, int]] = deque()
        self._time_ns = self._samples = 0

    def observe(self, arrival_ns: int, count: int) -> Interval | None:
        """Include a frame of ``count`` samples; return the interval before it, if there is one."""
        before, self._arrival_ns = self._arrival_ns, arrival_ns
        if before is None:
            return None
        elapsed_ns = arrival_ns - before
        self._recent.append(elapsed_ns / count)
        known = self._usual_ns()
        if known is None:
            return None
        ratio = elapsed_ns / (known * count)
        follows = _SHORTEST <= ratio <= _LONGEST
        if follows:
            self._add(elapsed_ns, count)
        return Interval(ratio, follows)

    def _usual_ns(self) -> float | None:
        """Return the period, or the usual one of the last intervals if that is another one."""
        usual, known = median(self._recent), self.period_ns
        if known is None:
            self.period_ns = usual or None
        elif usual and len(self._recent) >= _CONVINCED:
            # If frames waited, most intervals are too short, but together they are not.
            mean = sum(self._recent) / len(self._recent)
            if max(usual, mean) < _SHORTEST * known or min(usual, mean) > _LONGEST * known:
                self.period_ns = usual
                self._frames.clear()
                self._time_ns = self._samples = 0
        return self.period_ns

    def _add(self, elapsed_ns: int, count: int) -> None:
        self._frames.append((elapsed_ns, count))
        self._time_ns += elapsed_ns
        self._samples += count
        if len(self._frames) > _FRAMES:
            gone_ns, gone = self._frames.popleft()
            self._time_ns -= gone_ns
            self._samples -= gone
        if len(self._frames) >= _CONVINCED:
            self.period_ns = self._time_ns / self._samples
