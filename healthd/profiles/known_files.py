"""How much of a device's files became samples. Pure: a callback saves what is forgotten.

A file is read from its beginning, so its newest record stands for all before it. However long a
file is, it takes as much memory as a single result.
"""

from collections.abc import Callable, Collection, Iterable

from healthd.samples import Record

LIMIT = 256
"""How many files are remembered. A ring stores four nights; this is most of a year."""

# The notes of records that newer ones stand for are deleted together.
_AT_ONCE = 64


class KnownFiles:
    """The files of one stream of one peripheral, across links and runs.

    A file is a series of records whose numbers count from 0, and which arrive in this order. If
    there are too many files, the one that was begun first is forgotten.
    """

    def __init__(
        self,
        known: Iterable[Record] = (),
        forget: Callable[[Collection[Record]], None] = lambda _gone: None,
    ) -> None:
        """Start with the files of earlier runs.

        Args:
            known: records of them, the first ones forgotten first; of each file the newest counts.
            forget: saves that records are forgotten; by default this is not saved.
        """
        self._forget = forget
        self._newest: dict[str, Record] = {}
        # Records that newer ones stand for, and that are not forgotten on the disk.
        self._passed: list[Record] = []
        for record in known:
            if record.number < self.count(record.series):
                self._passed.append(record)
            else:
                self._advance(record)

    def count(self, name: str) -> int:
        """Return how many records of this file became samples."""
        newest = self._newest.get(name)
        return 0 if newest is None else newest.number + 1

    def add_if_new(self, record: Record) -> bool:
        """Add a record; return whether it is new."""
        if record.number < self.count(record.series):
            return False
        self._advance(record)
        if len(self._passed) >= _AT_ONCE:
            passed, self._passed = self._passed, []
            self._forget(passed)
        return True

    def _advance(self, record: Record) -> None:
        if passed := self._newest.get(record.series):
            self._passed.append(passed)
        elif len(self._newest) >= LIMIT:
            self._passed.append(self._newest.pop(next(iter(self._newest))))
        self._newest[record.series] = record
