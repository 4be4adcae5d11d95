"""Which of a device's stored records were taken; pure: who makes it keeps what changes."""

from collections.abc import Callable, Collection, Mapping

from healthd.samples import Record, Taken

Settle = Callable[[Collection[Taken], Mapping[Taken, bool]], None]
"""Takes what need not be known any more, and whether others are the end of what is complete."""


class Records:
    """One peripheral's records, over links and runs.

    Known are all records that were taken since the device last sent all it was asked for, and of
    those before, the newest. So nothing has to come in order, a transfer may break off anywhere,
    and what is kept stays small.

    Attributes:
        series: what the device's numbers count in now; empty where they stand for themselves.
    """

    def __init__(self, settle: Settle = lambda _gone, _whole: None) -> None:
        """Begin with none.

        Args:
            settle: keeps what changes without a sample; nobody does where it is left out.
        """
        self._settle = settle
        # Whether it, and all that are older, need not be asked for again.
        self._taken: dict[Taken, bool] = {}
        self.series = ""
        self._came: set[Taken] = set()
        self._whole = False

    def inherit(self, taken: Mapping[Taken, bool]) -> None:
        """Go on where the run before was: what it took, and whether it was complete until there."""
        self._taken = dict(taken)

    def add_if_new(self, stream: str, record: Record) -> bool:
        """Add a record of this kind of measurement; return whether it is new."""
        one = stream, record
        self._came.add(one)
        if one in self._taken or self._is_older(record):
            return False
        self._taken[one] = False
        if self._whole:
            self._advance(one)
        return True

    def enter(self, series: str) -> None:
        """The device's numbers count in this series now; also said when a link begins."""
        self.series, self._whole = series, False

    def since(self) -> Record | None:
        """The newest record up to which all of the series were taken; None: none were."""
        return self._newest(self.series)

    def begin(self) -> None:
        """The device was asked for records."""
        self._came.clear()
        self._whole = False

    def came(self, record: Record) -> bool:
        """Whether the device has sent this one since."""
        return any(record == other for _, other in self._came)

    def complete(self) -> None:
        """The device has sent all that it was asked for; what comes by itself now follows on."""
        self._whole = True
        numbers = [record.number for _, record in self._came]
        if not numbers:
            return
        # The newest; and where there are no numbers, all that the device holds.
        last = {one for one in self._came if one[1].number == max(numbers)}
        gone = self._taken.keys() - last
        news = {one: True for one in last if not self._taken.get(one)}
        self._taken = dict.fromkeys(last, True)
        if gone or news:
            self._settle(gone, news)

    def forget(self) -> None:
        """Its memory was cleared: what it has now is new, but for what has just come."""
        gone = self._taken.keys() - self._came
        news = {one: False for one, whole in self._taken.items() if whole and one not in gone}
        self._taken = dict.fromkeys(self._taken.keys() - gone, False)
        if gone or news:
            self._settle(gone, news)

    def _advance(self, one: Taken) -> None:
        gone = [other for other in self._taken if other[1].number < one[1].number]
        for other in gone:
            del self._taken[other]
        self._taken[one] = True
        self._settle(gone, {one: True})

    def _is_older(self, record: Record) -> bool:
        mark = self._newest(record.series)
        return mark is not None and record.number < mark.number and record.made <= mark.made

    def _newest(self, series: str) -> Record | None:
        whole = [one[1] for one, end in self._taken.items() if end and one[1].series == series]
        return max(whole, key=lambda record: (record.number, record.made), default=None)
