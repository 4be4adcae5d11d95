"""Which of a device's stored records were fetched. Pure: a callback saves the changes."""

from collections.abc import Callable, Collection, Mapping

from healthd.profiles.known_results import KnownResults
from healthd.samples import Record, Taken

Settle = Callable[[Collection[Taken], Mapping[Taken, bool]], None]
"""Saves a change: the records to forget, and for others whether all before them are complete."""


class Records:
    """One peripheral's fetched records, across links and runs.

    It remembers all records that arrived since the last complete transfer, and the newest record
    of that transfer. So records may arrive in any order, a transfer may break off anywhere, and
    the memory stays small.

    Results without numbers are remembered by `results`, stream by stream.

    Attributes:
        series: what the device's record numbers currently count in, such as a session; empty if
            the numbers stand for themselves.
    """

    def __init__(self, settle: Settle = lambda _gone, _whole: None) -> None:
        """Start without records.

        Args:
            settle: saves changes that come without a sample; by default they are not saved.
        """
        self._settle = settle
        # For each record whether it and all older ones need not be asked for again.
        self._taken: dict[Taken, bool] = {}
        self.series = ""
        self._arrived: set[Taken] = set()
        self._whole = False
        self._results: dict[str, KnownResults] = {}

    def inherit(self, taken: Mapping[Taken, bool]) -> None:
        """Continue with an earlier run's records, and whether each completes all before it."""
        self._taken = dict(taken)
        self._results.clear()

    def results(self, stream: str) -> KnownResults:
        """Return the known results of a kind of measurement that the device does not number."""
        if stream not in self._results:
            # No transfer completes them, so a complete transfer of others must not forget them.
            known = [taken for taken in self._taken if taken[0] == stream]
            for taken in known:
                del self._taken[taken]

            def forget(gone: Collection[Record]) -> None:
                self._settle([(stream, record) for record in gone], {})

            self._results[stream] = KnownResults([record for _, record in known], forget)
        return self._results[stream]

    def add_if_new(self, stream: str, record: Record) -> bool:
        """Add a record of this kind of measurement; return whether it is new."""
        if (results := self._results.get(stream)) is not None:
            return results.add_if_new(record)
        added = stream, record
        self._arrived.add(added)
        if added in self._taken or self._is_older(record):
            return False
        self._taken[added] = False
        if self._whole:
            self._advance(added)
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
        self._whole = False

    def has_arrived(self, record: Record) -> bool:
        """Return whether the device has sent this record since it was asked."""
        return any(record == other for _, other in self._arrived)

    def complete(self) -> None:
        """Note that the device sent all requested records; live ones now follow without a gap."""
        self._whole = True
        numbers = [record.number for _, record in self._arrived]
        if not numbers:
            return
        # The newest record; or, if all numbers are 0, all records that the device holds.
        last = {taken for taken in self._arrived if taken[1].number == max(numbers)}
        gone = self._taken.keys() - last
        changed = {taken: True for taken in last if not self._taken.get(taken)}
        self._taken = dict.fromkeys(last, True)
        if gone or changed:
            self._settle(gone, changed)

    def forget(self) -> None:
        """Note that the device's memory was cleared: all records but those just sent are new."""
        gone = self._taken.keys() - self._arrived
        changed = {
            taken: False for taken, whole in self._taken.items() if whole and taken not in gone
        }
        self._taken = dict.fromkeys(self._taken.keys() - gone, False)
        if gone or changed:
            self._settle(gone, changed)

    def _advance(self, newest: Taken) -> None:
        gone = [taken for taken in self._taken if taken[1].number < newest[1].number]
        for taken in gone:
            del self._taken[taken]
        self._taken[newest] = True
        self._settle(gone, {newest: True})

    def _is_older(self, record: Record) -> bool:
        mark = self._newest(record.series)
        return mark is not None and record.number < mark.number and record.made <= mark.made

    def _newest(self, series: str) -> Record | None:
        complete = [
            record
            for (_, record), whole in self._taken.items()
            if whole and record.series == series
        ]
        return max(complete, key=lambda record: (record.number, record.made), default=None)
