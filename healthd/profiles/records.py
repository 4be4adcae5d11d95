"""Which of a device's stored records were fetched. Pure: a callback saves the changes."""

from collections.abc import Callable, Collection, Mapping
from itertools import islice

from healthd.profiles.known_files import KnownFiles
from healthd.profiles.known_results import KnownResults
from healthd.samples import MOST_RECORDS, Record, Taken

# Forgotten together, so that the disk has something to do once in a while and not for each record:
# this part of all.
_PARTS = 16

Settle = Callable[[Collection[Taken], Mapping[Taken, bool]], None]
"""Saves a change: the records to forget, and for others whether all before them are complete."""


class Records:
    """One peripheral's fetched records, across links and runs.

    It remembers all records that arrived since the last complete transfer, and the newest record
    of that transfer. So records may arrive in any order, a transfer may break off anywhere, and
    the memory stays small. If a device sends records without end, or has more than any device
    stores, the oldest ones are forgotten, and are published again if it sends them again.

    Results without numbers are remembered by `results`, and records of files by `files`, stream by
    stream.

    Attributes:
        series: what the device's record numbers currently count in, such as a session; empty if
            the numbers stand for themselves.
    """

    def __init__(
        self,
        settle: Settle = lambda _gone, _whole: None,
        on_full: Callable[[], None] = lambda: None,
        most: int = MOST_RECORDS,
    ) -> None:
        """Start without records.

        Args:
            settle: saves changes that come without a sample; by default they are not saved. It
                keeps no more records than this does; without any changes it is called for that.
            on_full: called when records are forgotten for the first time.
            most: how many records are remembered.
        """
        self._settle = settle
        self._on_full = on_full
        self._most = most
        self._is_full = False
        # For each record whether it and all older ones need not be asked for again.
        self._taken: dict[Taken, bool] = {}
        # Of each series the newest of those; None until it is looked up.
        self._marks: dict[str, Record] | None = None
        self.series = ""
        # What arrived since the device was asked: those of `_taken`, and those with the greatest
        # number of all; the mark by then, and whether it arrived, too.
        self._arrived: set[Taken] = set()
        self._last: set[Taken] = set()
        self._awaited: Record | None = None
        self._has_arrived = False
        self._whole = False
        self._results: dict[str, KnownResults] = {}
        self._files: dict[str, KnownFiles] = {}

    def inherit(self, taken: Mapping[Taken, bool]) -> None:
        """Continue with an earlier run's records, and whether each completes all before it."""
        self._taken, self._marks = dict(taken), None
        self._results.clear()
        self._files.clear()

    def results(self, stream: str) -> KnownResults:
        """Return the known results of a kind of measurement that the device does not number."""
        if stream not in self._results:
            self._results[stream] = KnownResults(self._part(stream), self._forgetting(stream))
        return self._results[stream]

    def files(self, stream: str) -> KnownFiles:
        """Return the known files of a kind of measurement: each is a series of its own."""
        if stream not in self._files:
            self._files[stream] = KnownFiles(self._part(stream), self._forgetting(stream))
        return self._files[stream]

    def _part(self, stream: str) -> list[Record]:
        """Remove the records of a stream, and return them in their order.

        No transfer completes them, so a complete transfer of others must not forget them.
        """
        known = [taken for taken in self._taken if taken[0] == stream]
        for taken in known:
            del self._taken[taken]
        return [record for _, record in known]

    def _forgetting(self, stream: str) -> Callable[[Collection[Record]], None]:
        def forget(gone: Collection[Record]) -> None:
            self._settle([(stream, record) for record in gone], {})

        return forget

    def add_if_new(self, stream: str, record: Record) -> bool:
        """Add a record of this kind of measurement; return whether it is new."""
        if (results := self._results.get(stream)) is not None:
            return results.add_if_new(record)
        if (files := self._files.get(stream)) is not None:
            return files.add_if_new(record)
        added, mark = (stream, record), self._newest(record.series)
        self._note_arrival(added)
        if added in self._taken:
            self._arrived.add(added)
            return False
        if mark is not None and record.number < mark.number and record.made <= mark.made:
            return False
        self._taken[added] = False
        self._arrived.add(added)
        if self._whole:
            self._advance(added)
        if len(self._taken) > self._most:
            self._forget_oldest()
        return True

    def enter_series(self, series: str) -> None:
        """Note the series of the device's numbers; also called at the start of a link."""
        self.series, self._whole = series, False

    def since(self) -> Record | None:
        """Return the newest record up to which the series is complete; None if there is none."""
        return self._newest(self.series)

    def begin(self) -> None:
        """Note that the device was asked for records."""
        self._arrived.clear()
        self._last.clear()
        self._awaited, self._has_arrived = self.since(), False
        self._whole = False

    def has_arrived(self, mark: Record) -> bool:
        """Return whether the device has sent the record of `since` after it was asked."""
        return self._has_arrived and mark == self._awaited

    def complete(self) -> None:
        """Note that the device sent all requested records; live ones now follow without a gap."""
        self._whole = True
        if not self._last:
            return
        # The newest record; or, if all numbers are 0, all records that the device holds.
        last = set(self._last)
        gone = self._taken.keys() - last
        changed = {taken: True for taken in last if not self._taken.get(taken)}
        self._taken, self._marks = dict.fromkeys(last, True), None
        self._arrived &= last
        if gone or changed:
            self._settle(gone, changed)

    def forget(self) -> None:
        """Note that the device's memory was cleared: all records but those just sent are new."""
        gone = self._taken.keys() - self._arrived
        changed = {
            taken: False for taken, whole in self._taken.items() if whole and taken not in gone
        }
        self._taken, self._marks = dict.fromkeys(self._taken.keys() - gone, False), None
        if gone or changed:
            self._settle(gone, changed)

    def _note_arrival(self, taken: Taken) -> None:
        record = taken[1]
        self._has_arrived |= record == self._awaited
        greatest = next(iter(self._last), taken)[1].number
        if record.number > greatest:
            self._last.clear()
        if record.number >= greatest and len(self._last) < self._most:
            self._last.add(taken)

    def _advance(self, newest: Taken) -> None:
        gone = [taken for taken in self._taken if taken[1].number < newest[1].number]
        for taken in gone:
            del self._taken[taken]
        self._arrived.difference_update(gone)
        self._taken[newest], self._marks = True, None
        self._settle(gone, {newest: True})

    def _forget_oldest(self) -> None:
        """Forget the records that were noted first, but not the one that transfers begin at."""
        mark, count = self.since(), max(1, self._most // _PARTS)
        oldest = (taken for taken in self._taken if taken[1] != mark)
        for taken in list(islice(oldest, count)):
            del self._taken[taken]
            self._arrived.discard(taken)
        self._marks = None
        self._settle((), {})
        if not self._is_full:
            self._is_full = True
            self._on_full()

    def _newest(self, series: str) -> Record | None:
        if self._marks is None:
            marks: dict[str, Record] = {}
            for (_, record), whole in self._taken.items():
                if whole:
                    known = marks.setdefault(record.series, record)
                    marks[record.series] = max(known, record, key=_order)
            self._marks = marks
        return self._marks.get(series)


def _order(record: Record) -> tuple[int, str]:
    return record.number, record.made
