"""What was lost, gathered for a while: one event for each stream, not one for each sample.

A full outbox goes on losing samples as long as the outage lasts. An event for each eviction would
itself fill the outbox in the end, so the events of a stream come at growing intervals.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from healthd.errors import Backoff
from healthd.outbox.schema import Lost
from healthd.samples import Sample

INTERVALS = Backoff(first_s=10.0, ceiling_s=3600.0)
"""Between two events of a stream. The first one comes at once, and an outage of a week makes fewer
than 200 events of each stream."""

_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Gathered:
    """What was lost of a stream and run.

    Attributes:
        lost: what is not reported yet; None: nothing.
        due: when it may be reported, on the monotonic clock.
        interval_s: how long after the last report that is.
    """

    lost: Lost | None = None
    due: float = 0.0
    interval_s: float | None = None


class Losses:
    """The losses that are not reported yet.

    Attributes:
        count: how many samples were lost, reported or not.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.count = 0
        self._streams: dict[_Key, _Gathered] = {}

    def __bool__(self) -> bool:
        """Return whether ``pop_due`` may have anything to do, now or later."""
        return bool(self._streams)

    def add_sample(self, sample: Sample) -> None:
        """Add a sample that is lost."""
        wall_ns = sample.stamp.wall_ns
        place = (sample.seq, sample.seq, wall_ns, wall_ns)
        self.add(Lost(sample.peripheral, sample.stream, sample.run, *place, count=1))

    def add(self, lost: Lost) -> None:
        """Add samples of a stream that are lost."""
        self.count += lost.count
        key = (lost.peripheral, lost.stream, lost.run)
        gathered = self._streams.setdefault(key, _Gathered())
        gathered.lost = lost if gathered.lost is None else _together(gathered.lost, lost)

    def unreported(self, run: str) -> Iterator[Lost]:
        """Yield what is not reported yet of the samples of a run."""
        for (_, _, of_run), gathered in self._streams.items():
            if gathered.lost is not None and of_run == run:
                yield gathered.lost

    @property
    def unreported_count(self) -> int:
        """How many lost samples are not reported yet."""
        return sum(gathered.lost.count for gathered in self._streams.values() if gathered.lost)

    def pop_due(self, run: str, *, all_of_them: bool = False) -> list[Lost]:
        """Return what is to be reported now.

        Args:
            run: the present run. The losses of earlier runs do not wait: if this run is killed, the
                next one could not say what they were.
            all_of_them: whether to return the rest as well.
        """
        now = time.monotonic()
        found: list[Lost] = []
        for key, gathered in list(self._streams.items()):
            if gathered.lost is None:
                # Quiet for as long as the last interval: the next loss is reported at once.
                if now >= gathered.due:
                    del self._streams[key]
            elif all_of_them or key[2] != run or now >= gathered.due:
                found.append(gathered.lost)
                gathered.lost = None
                gathered.interval_s = INTERVALS.after(gathered.interval_s)
                gathered.due = now + gathered.interval_s
        return found


def _together(first: Lost, second: Lost) -> Lost:
    """Return the loss that covers both."""
    return replace(
        first,
        first_seq=min(first.first_seq, second.first_seq),
        last_seq=max(first.last_seq, second.last_seq),
        first_ns=min(first.first_ns, second.first_ns),
        last_ns=max(first.last_ns, second.last_ns),
        count=first.count + second.count,
    )
