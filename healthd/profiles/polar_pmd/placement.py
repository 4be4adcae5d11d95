"""Determines when the samples of a stream's frames were taken."""

from collections import deque
from dataclasses import dataclass

from healthd.profiles.polar_pmd.clock import SensorClock
from healthd.profiles.polar_pmd.pace import Pace

# How fast the placed times may drift against the sensor's clock towards a better estimate. There is
# no step, so samples stay in order and evenly spaced. If the first frame was 80 ms late, the error
# is gone after 16 s. Ten times the drift of a quartz, so the times always catch up.
_SLEW = 0.005
# A greater error is none of a quartz: the sensor's stamps do not follow a clock. Then a step is
# better than times that drift away.
_STEP_NS = 1_000_000_000
# By how much a sample may be placed after the arrival of its frame, while the error of a first
# frame that was late is being removed: a few connection intervals.
_AHEAD_NS = 100_000_000
# Frames are lost if the time since the frame before is this many times longer than the samples
# take.
_LOST = 1.25
# How many frames in a row must take longer, and equally long, until the rate is believed to differ
# from the announced one (a Verity Sense announced 135 Hz and ran at 55) instead of frames being
# lost. A link that loses every tenth frame loses every second frame of sixteen once in 10**8 tries.
_CONVINCED = 8
_ALIKE = 0.02
# A link ends after at most 32 s of silence (Core Specification: supervision timeout), so no frame
# waits for longer.
_LATE_NS = 32_000_000_000
# No frame is longer: sensors fill a packet of some hundred bytes in seconds, a thermometer that
# measures once a second in minutes.
_LONGEST_NS = 600_000_000_000
# The smallest delay of so many frames is that of the radio; a greater one is an error of the times.
_FRAMES = 8
# By which part of a frame the times of frames without a stamp are corrected at each frame: more
# than their measured rate is wrong by, and invisible in a single frame.
_CATCH_UP = 0.05
# If everything is late by this part of a frame, a frame was lost.
_MISSED = 0.5


@dataclass(frozen=True, slots=True)
class Placed:
    """A frame's place in time.

    Attributes:
        first_ns: time of its first sample, on our monotonic clock.
        period_ns: time from one sample to the next; None if a single frame does not show it.
    """

    first_ns: int
    period_ns: float | None


class Placement:
    """Places one stream's frames in time: never backwards, and without a gap if none was lost.

    A frame's stamp is that of its last sample. The samples are spread evenly between the stamp of
    the frame before and this one. If a frame between them is missing, and for the first frame, they
    are spread by the known period instead: the measured or else the nominal period.

    With frames every 0.6 s, delays of 0 to 80 ms and a drift of up to 200 ppm, the error of a
    sample's time is at most the first frame's delay; after 30 s at most 25 ms, after 5 min 5 ms.
    Whatever a sensor sends, no sample is placed after the arrival of its frame, except for the
    first frame's delay if that is below 100 ms.
    """

    def __init__(self, rate_hz: int | None) -> None:
        """Start a stream.

        Args:
            rate_hz: nominal rate, as requested; None if it is not known.
        """
        self._period_ns = 1e9 / rate_hz if rate_hz else None
        self._stamp_ns = 0
        self._last_ns: int | None = None
        self._epoch = -1
        self._slower: list[float] = []
        self._pace = Pace(self._period_ns)
        self._late_ns: deque[float] = deque(maxlen=_FRAMES)
        self._after_gap = False

    def place(
        self, clock: SensorClock, stamp_ns: int, arrival_ns: int, count: int
    ) -> Placed | None:
        """Place a frame of ``count`` samples, at least 1, and let the clock observe it.

        Returns:
            None for a first frame of several samples at an unknown rate: the distance between the
            samples is not known.
        """
        before, advance = self._last_ns, stamp_ns - self._stamp_ns
        if before is not None and self._epoch == clock.epoch and advance <= 0:
            # The sensor's clock went back, as after a restart; SensorClock ignores small steps.
            clock.restart()
        clock.observe(stamp_ns, arrival_ns)
        follows = self._epoch == clock.epoch
        self._stamp_ns, self._epoch = stamp_ns, clock.epoch
        if before is not None and follows:
            return self._continue(before, clock.at(stamp_ns), advance, count, arrival_ns)
        return self._begin(clock.at(stamp_ns), count, arrival_ns)

    def place_by_arrival(self, arrival_ns: int, count: int) -> Placed | None:
        """Place a frame without a stamp by the frames before it, at the rate that arrivals show.

        The last sample of the first frame has just been taken; of the following ones, samples are
        taken at equal distances, but never after their arrival. If a frame is late, those that
        follow at once show that it waited; otherwise frames were lost before it.
        """
        before, interval = self._last_ns, self._pace.observe(arrival_ns, count)
        period_ns = self._period_ns = self._pace.period_ns
        if before is None or period_ns is None or interval is None:
            return self._begin(arrival_ns, count, arrival_ns)
        frame_ns = count * period_ns
        late_ns = arrival_ns - before - frame_ns
        if not 0 < late_ns <= _LATE_NS:
            self._late_ns.clear()
            self._after_gap = False
            return self._end_at(arrival_ns, count, arrival_ns)
        self._late_ns.append(late_ns)
        shift_ns = 0.0
        if self._after_gap and not interval.waited:
            shift_ns = self._missed(frame_ns)
        if shift_ns:
            self._late_ns.clear()
        elif interval.follows and len(self._late_ns) == _FRAMES:
            shift_ns = min(*self._late_ns, _CATCH_UP * frame_ns)
            self._late_ns = deque((late - shift_ns for late in self._late_ns), maxlen=_FRAMES)
        self._after_gap = not (interval.follows or interval.waited)
        return self._end_at(round(before + frame_ns + shift_ns), count, arrival_ns)

    def _missed(self, frame_ns: float) -> float:
        """Return the duration of the frames that were lost before the frame before."""
        lost_ns = min(list(self._late_ns)[-2:])
        return lost_ns if lost_ns > _MISSED * frame_ns else 0.0

    def place_span(self, last_ns: int, span_ns: int, arrival_ns: int) -> Placed:
        """Place a frame whose samples contain their own duration, ``span_ns`` together."""
        first_ns = last_ns - min(span_ns, _LONGEST_NS)
        if self._last_ns is not None:
            first_ns = max(first_ns, self._last_ns)
        self._last_ns = min(first_ns + span_ns, arrival_ns)
        return Placed(min(first_ns, arrival_ns), None)

    def _begin(self, last_ns: int, count: int, arrival_ns: int) -> Placed | None:
        if self._last_ns is not None:
            last_ns = max(last_ns, self._last_ns + round(count * (self._period_ns or 0)))
        placed = self._end_at(last_ns, count, arrival_ns)
        return None if self._period_ns is None and count > 1 else placed

    def _continue(
        self, before_ns: int, target_ns: int, advance_ns: int, count: int, arrival_ns: int
    ) -> Placed:
        error_ns = target_ns - before_ns - advance_ns
        pace_ns = self._learn(advance_ns / count)
        if abs(error_ns) > _STEP_NS:
            return self._end_at(target_ns, count, arrival_ns, pace_ns)
        most = advance_ns * _SLEW
        slew = max(-most, min(most, error_ns))
        last_ns = before_ns + advance_ns + round(slew)
        period_ns = pace_ns * (1 + slew / advance_ns)
        return self._end_at(last_ns, count, arrival_ns + _AHEAD_NS, period_ns)

    def _end_at(
        self, last_ns: int, count: int, latest_ns: int, period_ns: float | None = None
    ) -> Placed:
        """Place the last sample there, or as near as possible: in order, and not in the future.

        Args:
            last_ns: where it belongs.
            count: samples of the frame.
            latest_ns: when they had certainly been taken.
            period_ns: the distance of the samples of this frame; None for the stream's.
        """
        before, period_ns = self._last_ns, self._period_ns if period_ns is None else period_ns
        last_ns = min(last_ns, latest_ns)
        if before is not None:
            last_ns = max(last_ns, before)
        self._last_ns = last_ns
        if period_ns is None or count == 1:
            return Placed(last_ns, period_ns)
        period_ns = min(period_ns, _LONGEST_NS / count)
        if before is not None:
            # The samples of a frame that is placed earlier than it would last are closer together.
            period_ns = min(period_ns, (last_ns - before) / count)
        return Placed(last_ns - round((count - 1) * period_ns), period_ns or None)

    def _learn(self, pace_ns: float) -> float:
        """Return the period of a frame with ``pace_ns`` per sample since the frame before."""
        known = self._period_ns
        if known is not None and pace_ns > known * _LOST:
            alike = self._slower and abs(pace_ns / self._slower[-1] - 1) < _ALIKE
            self._slower = [*self._slower, pace_ns] if alike else [pace_ns]
            if len(self._slower) < _CONVINCED:
                return known
        # A loss makes the pace longer, nothing makes it shorter: believe a shorter pace at once.
        self._slower = []
        self._period_ns = pace_ns
        return pace_ns
