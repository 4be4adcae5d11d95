"""Determines when the samples of a stream's frames were taken."""

from dataclasses import dataclass

from healthd.profiles.polar_pmd.clock import SensorClock

# How fast the placed times may drift against the sensor's clock towards a better estimate. There is
# no step, so samples stay in order and evenly spaced. If the first frame was 80 ms late, the error
# is gone after 16 s. Ten times the drift of a quartz, so the times always catch up.
_SLEW = 0.005
# Frames are lost if the time since the frame before is this many times longer than the samples
# take.
_LOST = 1.25
# How many frames in a row must take longer, and equally long, until the rate is believed to differ
# from the announced one (a Verity Sense announced 135 Hz and ran at 55) instead of frames being
# lost. A link that loses every tenth frame loses every second frame of sixteen once in 10**8 tries.
_CONVINCED = 8
_ALIKE = 0.02


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
            return self._continue(before, clock.at(stamp_ns), advance, count)
        return self._begin(clock.at(stamp_ns), count)

    def place_by_arrival(self, arrival_ns: int, count: int) -> Placed | None:
        """Place a frame without a stamp as if its last sample had just been taken."""
        return self._begin(arrival_ns, count)

    def place_span(self, last_ns: int, span_ns: int) -> Placed:
        """Place a frame whose samples contain their own duration, ``span_ns`` together."""
        first_ns = last_ns - span_ns
        if self._last_ns is not None:
            first_ns = max(first_ns, self._last_ns)
        self._last_ns = first_ns + span_ns
        return Placed(first_ns, None)

    def _begin(self, last_ns: int, count: int) -> Placed | None:
        if self._last_ns is not None:
            last_ns = max(last_ns, self._last_ns + round(count * (self._period_ns or 0)))
        self._last_ns = last_ns
        if self._period_ns is None and count > 1:
            return None
        return _placed(last_ns, self._period_ns, count)

    def _continue(self, before_ns: int, target_ns: int, advance_ns: int, count: int) -> Placed:
        most = advance_ns * _SLEW
        slew = max(-most, min(most, target_ns - before_ns - advance_ns))
        self._last_ns = last_ns = before_ns + advance_ns + round(slew)
        period_ns = self._learn(advance_ns / count) * (1 + slew / advance_ns)
        return _placed(last_ns, period_ns, count)

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


def _placed(last_ns: int, period_ns: float | None, count: int) -> Placed:
    return Placed(last_ns - round((count - 1) * (period_ns or 0)), period_ns)
