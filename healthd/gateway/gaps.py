"""Reports gaps: per stream, from the last sample before the gap to the first one after it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from healthd.events import Gap
from healthd.outbox.continuity import PreviousRun
from healthd.runs import Run
from healthd.samples import Sample, utc_text

_Stream = tuple[str, str]


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
        self._last: dict[_Stream, Sample] = {}
        self._interrupted: dict[_Stream, str] = {}
        self._filled: Counter[_Stream] = Counter()

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
            if stream[0] == peripheral and self._is_continuous(last):
                # The first reason explains the gap; a failed reconnect is only a consequence.
                self._interrupted.setdefault(stream, reason)

    def before_sample(self, sample: Sample) -> None:
        """Report the gap that ends with this sample, if any; call it before the sample is put.

        A sample that the device had stored meanwhile does not end a gap: it fills a part of it.
        """
        stream = (sample.peripheral, sample.stream)
        last = self._last.get(stream)
        if sample.stored and (last is None or stream in self._interrupted):
            self._filled[stream] += 1
            return
        self._last[stream] = sample
        if last is None:
            self._after_start(stream, sample)
        elif reason := self._interrupted.pop(stream, None):
            self._emit(stream, reason, last.run, last.stamp.wall_ns, sample.stamp.wall_ns)
        self._filled.pop(stream, None)

    def _after_start(self, stream: _Stream, first: Sample) -> None:
        for run in self._runs_since_last_sample(stream):
            end, until_ns = run.ends.get(stream), first.stamp.wall_ns
            if end is not None and run.clean:
                if self._is_continuous(first):
                    self._emit(stream, "stopped", run.run, end.wall_ns, until_ns)
            elif end is not None:
                # Perhaps nothing is lost, but samples are certain only up to this one.
                since_ns, first_seq = end.wall_ns, end.seq + 1
                self._emit(stream, "unclean_stop", run.run, since_ns, until_ns, first_seq)
            elif not run.clean:
                self._emit(stream, "unclean_stop", run.run, run.started_ns, until_ns)

    def _is_continuous(self, sample: Sample) -> bool:
        """Return whether data is missing while the sample's stream is silent.

        Nothing is missing between two weighings, though scales disconnect, nor between two runs of
        a periodic peripheral.
        """
        made = sample.measurement
        is_episodic = made.retained or made.intermediate
        return not is_episodic and sample.peripheral not in self._periodic

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
