"""What lies on disk, on its way to the history topics."""

import asyncio
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial

from healthd.outbox.disk import Disk, DiskFailing
from healthd.outbox.schema import Stored
from healthd.outbox.store import Store

Stream = tuple[str, str]
"""Peripheral and stream."""


class Backlog:
    """Gives stored samples out, oldest first, and deletes them once they are delivered."""

    def __init__(self, disk: Disk, on_live_path: Callable[[], Iterable[int]]) -> None:
        """``on_live_path`` names the rows of samples that may still be delivered live."""
        self._disk = disk
        self._on_live_path = on_live_path
        # Given out and not given back, or delivered and not deleted yet.
        self._busy: set[int] = set()
        self._read_last: frozenset[int] = frozenset()
        self._delivered: list[int] = []
        # Up to here every row is busy, or of one of these streams, which were left out.
        self._after = 0
        # The first row that was released since the disk was asked last.
        self._released = sys.maxsize
        self._skipped: frozenset[Stream] = frozenset()
        self._parking: dict[str, str | None] = {}
        self._stored = asyncio.Event()

    async def next_batch(self, limit: int, skip: Callable[[], Collection[Stream]]) -> list[Stored]:
        """The oldest samples that are not on their way; waits until there are some.

        Each one returned must be given to ``forget`` once delivered, or to ``release``.

        Args:
            limit: how many at most.
            skip: which streams to leave out, asked each time that the disk is read.
        """
        while True:
            self._stored.clear()
            live = set(self._on_live_path())
            asked = limit + len(live)
            if (skipped := frozenset(skip())) != self._skipped:
                self._skipped, self._after = skipped, 0
            self._released = sys.maxsize
            rows, read_to = list[Stored](), self._after
            with suppress(DiskFailing):
                read = partial(self._read, asked, skipped, self._after)
                rows, read_to = await self._disk.call(read)
            # What happened while the disk was read counts as well.
            live.update(self._on_live_path())
            fresh = [one for one in rows if one.row not in self._busy and one.row not in live]
            seen = fresh[:limit][-1].row if fresh else read_to
            # A row on the live path may be left to the store yet: it must not be passed.
            first = min((*live, self._released), default=sys.maxsize)
            before, self._after = self._after, min(seen, first - 1)
            if fresh:
                self._busy.update(one.row for one in fresh[:limit])
                return fresh[:limit]
            if len(rows) < asked or self._after <= before:
                await self._stored.wait()

    def _read(
        self, limit: int, skip: frozenset[Stream], after: int, store: Store
    ) -> tuple[list[Stored], int]:
        """The oldest rows behind ``after``, and up to which row these are all."""
        rows = store.oldest(limit, skip, after)
        # On the store's thread: what it does next must not evict them.
        self._read_last = frozenset(one.row for one in rows)
        # A stream that is left out for days has a great many rows: they are passed once.
        return rows, rows[-1].row if len(rows) == limit else store.last_row

    def spared(self) -> frozenset[int]:
        """Rows that are on their way, or delivered: evicted, they would be called lost.

        To be called on the store's thread; copying a set is one step for the others.
        """
        return self._read_last | self._busy

    def forget(self, row: int) -> None:
        """A stored sample was delivered; it is deleted with the next batch."""
        self._busy.add(row)
        self._delivered.append(row)

    def release(self, row: int) -> None:
        """A stored sample was not delivered; it keeps its place in the queue."""
        self._busy.discard(row)
        self._go_back(row)

    def release_all(self) -> None:
        """The connection is gone: nothing is on its way."""
        self._busy = set(self._delivered)
        self._read_last = frozenset()
        self._go_back(1)
        self.look_again()

    def look_again(self) -> None:
        """There may be something to take now: new rows, or streams no longer skipped."""
        self._stored.set()

    def _go_back(self, row: int) -> None:
        """Have this row read again, also by who has just begun to read behind it."""
        self._released = min(self._released, row)
        self._after = min(self._after, row - 1)

    def note_parked(self, topic: str, reason: str | None) -> None:
        """Keep on disk that the broker refuses a topic; without a reason: that it takes it."""
        self._parking[topic] = reason

    async def tidy(self) -> None:
        """Delete what was delivered.

        Raises:
            DiskFailing: it is deleted another time.
        """
        rows, self._delivered = self._delivered, []
        parking, self._parking = self._parking, {}
        if not rows and not parking:
            return
        try:
            await self._disk.call(lambda store: store.tidy(rows, parking))
        except DiskFailing:
            self._delivered += rows
            # They may have been given up for lost, with the connection, meanwhile.
            self._busy.update(rows)
            self._parking = parking | self._parking
            raise
        self._busy.difference_update(rows)
