"""Reports gaps: per stream, from the last sample before the gap to the first one after it."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from healthd.events import Gap
from healthd.outbox.continuity import PreviousRun
from healthd.runs import Run
from healthd.samples import Sample, utc_text

_Stream = tuple[str, str]


class _Last(NamedTuple):
    """The last sample of a stream.

    Attributes:
        wall_ns: when it was taken; Unix time.
        continuous: whether data is missing while the stream is silent.
    """

    wall_ns: int
    continuous: bool


class _Held(NamedTuple):
    """A gap, or several of them together."""

    reason: str
    since_ns: int
    until_ns: int


class Gaps:
    """Watches continuous streams and emits a gap event for each stretch that is missing.

    Silence between the runs of a periodic peripheral is no gap. But its samples, like those of
    every peripheral, can be lost if healthd is killed.
    """

    def __init__(self, run: Run, put: Callable[[Sample], None]) -> None:
        """Pass the gap events of this run to ``put``."""
        self._periodic: set[str] = set()
        self._run = run
        self._put = put
        self._before: list[PreviousRun] = []
        self._last: dict[_Stream, _Last] = {}
        self._interrupted: dict[_Stream, str] = {}
        self._filled: Counter[_Stream] = Counter()
        self._holding: set[str] = set()
        self._held: dict[_Stream, _Held] = {}

    def add(self, peripheral: str, *, periodic: bool) -> None:
        """Note whether the peripheral is periodic from now on."""
        if not periodic:
            self._periodic.discard(peripheral)
            return
        self._periodic.add(peripheral)
        for stream in [stream for stream in self._interrupted if stream[0] == peripheral]:
            # It was continuous until its settings changed.
            del self._interrupted[stream]

    def resume(self, before: list[PreviousRun]) -> None:
        """Continue the streams of earlier runs, given oldest first."""
        self._before = before

    def interrupt(self, peripheral: str, reason: str) -> None:
        """Note that the peripheral's link is gone: its streams stop until their next sample."""
        for stream, last in self._last.items():
            if stream[0] == peripheral and last.continuous and peripheral not in self._periodic:
                # The first reason explains the gap; a failed reconnect is only a consequence.
                self._interrupted.setdefault(stream, reason)

    def hold(self, peripheral: str) -> None:
        """See ``link_events.LinkGaps``."""
        self._holding.add(peripheral)

    def release(self, peripheral: str) -> None:
        """See ``link_events.LinkGaps``."""
        self._holding.discard(peripheral)
        for stream in [stream for stream in self._held if stream[0] == peripheral]:
            self._emit_held(stream)

    def _emit_held(self, stream: _Stream) -> None:
        reason, since_ns, until_ns = self._held.pop(stream)
        self._emit(stream, reason, self._run.id, since_ns, until_ns)

    def before_sample(self, sample: Sample, *, continuous: bool = True) -> None:
        """Report the gap that ends with this sample, if any; call it before the sample is put.

        A sample that the device had stored meanwhile does not end a gap: it fills a part of it.

        Args:
            sample: the sample.
            continuous: False if its stream is silent for as long as nothing changes. It can lose
                samples only if healthd is killed.
        """
        stream = (sample.peripheral, sample.stream)
        last = self._last.get(stream)
        if sample.stored and (last is None or stream in self._interrupted):
            self._filled[stream] += 1
            return
        made, wall_ns = sample.measurement, sample.stamp.wall_ns
        # Nothing is missing between two weighings, though scales disconnect.
        continuous = continuous and not (made.retained or made.intermediate)
        self._last[stream] = now = _Last(wall_ns, continuous)
        if last is None:
            self._after_start(stream, now)
        elif reason := self._interrupted.pop(stream, None):
            held = self._held.get(stream)
            first = _Held(reason, last.wall_ns, wall_ns) if held is None else held
            self._held[stream] = first._replace(until_ns=wall_ns)
            if stream[0] not in self._holding:
                self._emit_held(stream)
        if stream not in self._held:
            self._filled.pop(stream, None)

    def _after_start(self, stream: _Stream, first: _Last) -> None:
        for run in self._runs_since_last_sample(stream):
            end, until_ns = run.ends.get(stream), first.wall_ns
            if end is not None and run.clean:
                if first.continuous and stream[0] not in self._periodic:
                    self._emit(stream, "stopped", run.run, end.wall_ns, until_ns)
            elif end is not None:
                # Perhaps nothing is lost, but samples are certain only up to this one.
                since_ns, first_seq = end.wall_ns, end.seq + 1
                self._emit(stream, "unclean_stop", run.run, since_ns, until_ns, first_seq)
            elif not run.clean:
                self._emit(stream, "unclean_stop", run.run, run.started_ns, until_ns)

    def _runs_since_last_sample(self, stream: _Stream) -> list[PreviousRun]:
        """Return the earlier runs, from the last one in which the stream has a certain sample.

        If the stream has none, start at the last run in which any stream has one.
        """
        of_any = [place for place, run in enumerate(self._before) if run.ends]
        of_stream = [place for place in of_any if stream in self._before[place].ends]
        return self._before[max(of_stream or of_any, default=0) :]

    def _emit(
        self,
        stream: _Stream,
        reason: str,
        run: str,
        first_ns: int,
        last_ns: int,
        first_seq: int | None = None,
    ) -> None:
        fields: dict[str, Any] = {"peripheral": stream[0], "stream": stream[1], "reason": reason}
        fields |= {"first": utc_text(first_ns), "last": utc_text(last_ns), "run": run}
        if first_seq is not None:
            fields["first_seq"] = first_seq
        if filled := self._filled.pop(stream, 0):
            fields["filled"] = filled
        self._put(self._run.event(Gap(**fields)))
