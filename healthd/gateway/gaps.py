"""Says, stream by stream, which stretches are missing: from one sample to the next that follows."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from healthd.events import Gap
from healthd.outbox.continuity import PreviousRun
from healthd.runs import Run
from healthd.samples import Sample, utc_text

_Stream = tuple[str, str]


class Gaps:
    """Watches continuous streams and emits a gap event for each stretch that one lacks.

    What a periodic peripheral does not send between its runs is not missing. What it did send may
    be, like anybody's, when healthd is killed.
    """

    def __init__(self, run: Run, put: Callable[[Sample], None]) -> None:
        """``put`` takes the events, as it takes the samples."""
        self._periodic: set[str] = set()
        self._run = run
        self._put = put
        self._before: list[PreviousRun] = []
        self._last: dict[_Stream, Sample] = {}
        self._interrupted: dict[_Stream, str] = {}
        self._filled: Counter[_Stream] = Counter()

    def add(self, peripheral: str, *, periodic: bool) -> None:
        """A peripheral that is linked now and then from now on, or for good."""
        if not periodic:
            self._periodic.discard(peripheral)
            return
        self._periodic.add(peripheral)
        for stream in [one for one in self._interrupted if one[0] == peripheral]:
            # Until its settings were changed it was linked for good.
            del self._interrupted[stream]

    def inherit(self, before: list[PreviousRun]) -> None:
        """Streams go on from where the runs before left them; oldest first."""
        self._before = before

    def interrupt(self, peripheral: str, reason: str) -> None:
        """The peripheral's link is gone: its streams stand still until their next sample."""
        for stream, last in self._last.items():
            if stream[0] == peripheral and self._flows(last):
                # What came first explains the stretch; a failed reconnect is only its consequence.
                self._interrupted.setdefault(stream, reason)

    def pass_by(self, sample: Sample) -> None:
        """A sample of a continuous stream is about to be put: tell what is missing before it.

        What the device had stored meanwhile is no end of a gap: it fills it.
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
        for run in self._since_told(stream):
            end, until_ns = run.ends.get(stream), first.stamp.wall_ns
            if end is not None and run.clean:
                if self._flows(first):
                    self._emit(stream, "stopped", run.run, end.wall_ns, until_ns)
            elif end is not None:
                # Nothing is known to be lost; but until here, and no further, it is certain.
                since_ns, first_seq = end.wall_ns, end.seq + 1
                self._emit(stream, "unclean_stop", run.run, since_ns, until_ns, first_seq)
            elif not run.clean:
                self._emit(stream, "unclean_stop", run.run, run.started_ns, until_ns)

    def _flows(self, sample: Sample) -> bool:
        """Whether its stream lacks something while nothing comes.

        From one weighing to the next nothing is missing, though scales hang up; nor between runs.
        """
        return not sample.measurement.retained and sample.peripheral not in self._periodic

    def _since_told(self, stream: _Stream) -> list[PreviousRun]:
        """The runs from the last one on in which the stream has a certain sample.

        Of a stream that never had one: from the last run on in which any stream had.
        """
        of_any = [place for place, run in enumerate(self._before) if run.ends]
        of_it = [place for place in of_any if stream in self._before[place].ends]
        return self._before[max(of_it or of_any, default=0) :]

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
