"""Which results of one stream became samples. Pure: a callback saves what is forgotten.

Scales, cuffs and thermometers send what they remember on every link, in any order, and never say
that they have sent everything. So each result is remembered by itself.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from itertools import islice

from healthd.samples import Record, whole_time

BEFORE_ALL = datetime.min  # noqa: DTZ901 - device times have no zone
"""The date of a result without one, where results are put in order."""

LIMIT = 1024
"""How many results are remembered. Cuffs store up to 200, scales up to 300 (ten users with 30)."""


class KnownResults:
    """The results of one stream of one peripheral, across links and runs.

    If there are too many, those that the device has not sent for the longest time are forgotten:
    what it still holds arrives on each link, or is kept by `keep`. The newest result is never
    forgotten.
    """

    def __init__(
        self,
        known: Iterable[Record] = (),
        forget: Callable[[Collection[Record]], None] = lambda _gone: None,
    ) -> None:
        """Start with the results of earlier runs.

        Args:
            known: these results, the first ones forgotten first.
            forget: saves that results are forgotten; by default this is not saved.
        """
        self._forget = forget
        # The dates are parsed once, because the newest one is looked up for each result.
        self._dates = {record: date_of(record) for record in known}

    def __len__(self) -> int:
        """Return how many results are known."""
        return len(self._dates)

    def knows(self, record: Record) -> bool:
        """Return whether the result became a sample; its arrival keeps it from being forgotten."""
        if record not in self._dates:
            return False
        self._dates[record] = self._dates.pop(record)
        return True

    def keep(self, user: int, most: int) -> None:
        """Keep what was added last for a user from being forgotten.

        For a device that does not send again what it still holds.

        Args:
            user: the number that the device gives the user.
            most: how many results are kept.
        """
        start = f"{user} "
        own = (each for each in reversed(self._dates) if _values_of(each).startswith(start))
        for record in reversed([*islice(own, most)]):
            self._dates[record] = self._dates.pop(record)

    def knows_nearly(self, record: Record, within: timedelta) -> bool:
        """Return whether one with the same user and values has almost the same date."""
        date, values = date_of(record), _values_of(record)
        return date is not None and any(
            other is not None and abs(date - other) <= within and _values_of(known) == values
            for known, other in self._dates.items()
        )

    def add_if_new(self, record: Record) -> bool:
        """Add a result; return whether it is new."""
        if self.knows(record):
            return False
        self._dates[record] = date_of(record)
        if len(self._dates) > LIMIT:
            newest = max(self._dates, key=lambda known: self._dates[known] or BEFORE_ALL)
            gone = next(known for known in self._dates if known != newest)
            del self._dates[gone]
            self._forget([gone])
        return True

    def newest(self, until: datetime) -> datetime | None:
        """Return the latest date of a result by the device's clock, if it is not after ``until``.

        Results without a complete date do not count.
        """
        dates = [date for date in self._dates.values() if date is not None and date <= until]
        return max(dates, default=None)


def made_by(
    device_time: str | None, values: Iterable[object], mark: str | None = None
) -> Record | None:
    """Return the identity of a result; None if it has no time.

    Args:
        device_time: when it was measured, by the device's clock.
        values: whose it is and what was measured, so that a clock that was reset repeats nothing.
        mark: says that the time is no date; see `date_of`.
    """
    if device_time is None:
        return None
    parts = (device_time, *values) if mark is None else (mark, device_time, *values)
    return Record("", 0, " ".join(map(str, parts)))


def date_of(record: Record) -> datetime | None:
    """Return when a result was measured, by the device's clock; None for an incomplete date."""
    return whole_time(record.made.partition(" ")[0])


def _values_of(record: Record) -> str:
    """Return whose result it is and what was measured."""
    return record.made.partition(" ")[2]
