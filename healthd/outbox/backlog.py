"""The backlog: stored samples on their way from the disk to the history topics."""

import asyncio
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial

from healthd.outbox.disk import Disk, DiskFailing
from healthd.outbox.schema import Stored, Stream
from healthd.outbox.store import Store

# After a start, links and live samples come first: a full outbox drains with all of a core for a
# minute or more. By then the first links are made, or are waiting for their peripherals.
START_PAUSE_S = 1.0


class Backlog:
    """Hands out stored samples, oldest first, and deletes them once they are delivered."""

    def __init__(
        self,
        disk: Disk,
        live_rows: Callable[[], Iterable[int]],
        has_events: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare.

        Args:
            disk: where the samples are stored.
            live_rows: returns the rows of samples that may still be delivered live.
            has_events: returns whether events of the gateway are stored.
        """
        self._has_events = has_events
        self._disk = disk
        self._live_rows = live_rows
        # Handed out and not released, or delivered and not deleted yet.
        self._busy: set[int] = set()
        self._read_last: frozenset[int] = frozenset()
        self._delivered: list[int] = []
        # Every row up to this one is busy or belongs to a skipped stream.
        self._after = 0
        self._skipped: frozenset[Stream] = frozenset()
        # The lowest row that was released since the last read of the disk began.
        self._released = sys.maxsize
        # The lowest row that was left out, and the events among all of them: each read begins with
        # the oldest event.
        self._left_out = sys.maxsize
        self._events_left_out: set[int] = set()
        # Whether rows wait because an older live sample of their stream is not answered yet.
        self._holds = False
        self._parking: dict[str, str | None] = {}
        self._woken = asyncio.Event()
        self._begin_s = 0.0

    def begin(self) -> None:
        """Note that the store is open: the first batch follows after ``START_PAUSE_S``."""
        self._begin_s = asyncio.get_running_loop().time() + START_PAUSE_S
        self.wake()

    async def next_batch(self, limit: int, skip: Callable[[], Collection[Stream]]) -> list[Stored]:
        """Return the oldest samples that are not on their way yet; wait until there are some.

        Pass the row of each returned sample to ``acknowledge`` once it is delivered, or else to
        ``release``.

        Args:
            limit: how many samples to return at most.
            skip: returns the streams to leave out; called before each read of the disk.
        """
        await asyncio.sleep(self._begin_s - asyncio.get_running_loop().time())
        while True:
            self._woken.clear()
            self._holds = False
            live = set(self._live_rows())
            asked = limit + len(live)
            if (skipped := frozenset(skip())) != self._skipped:
                self._skipped, self._after = skipped, 0
            self._released = sys.maxsize
            events, rows, read_to = list[Stored](), list[Stored](), self._after
            with suppress(DiskFailing):
                read = partial(self._read, asked, skipped, self._after)
                events, rows, read_to = await self._disk.call(read)
            # Rows may have become live while the disk was read, and others are no longer live.
            still = set(self._live_rows())
            settled = live - still
            live |= still
            if urgent := self._fresh(events, live)[:limit]:
                self._busy.update(stored.row for stored in urgent)
                return urgent
            fresh = self._fresh(rows, live)
            seen = fresh[:limit][-1].row if fresh else read_to
            # A live row may still become history, so the next read must not start after it.
            first = min((*live, self._released), default=sys.maxsize)
            before, self._after = self._after, min(seen, first - 1)
            if fresh:
                self._busy.update(stored.row for stored in fresh[:limit])
                return fresh[:limit]
            if self._holds and settled:
                # What held the rows may be gone already: nothing would wake this task.
                continue
            if len(rows) < asked or self._after <= before:
                await self._woken.wait()

    def _fresh(self, rows: Iterable[Stored], live: Collection[int]) -> list[Stored]:
        """Return the rows that may be handed out now."""
        fresh: list[Stored] = []
        # A live sample may still be refused, and must then not follow younger ones.
        held: set[Stream] = set()
        for stored in rows:
            stream = (stored.peripheral, stored.stream)
            if stored.row in live:
                held.add(stream)
            elif stream in held:
                self._holds = True
            elif stored.row not in self._busy and stored.row not in self._events_left_out:
                fresh.append(stored)
        return fresh

    def _read(
        self, limit: int, skip: frozenset[Stream], after: int, store: Store
    ) -> tuple[list[Stored], list[Stored], int]:
        """Read the next rows.

        Returns:
            The oldest events, the oldest rows that follow ``after``, and the row up to which none
            of the latter is missing.
        """
        events: list[Stored] = []
        if self._has_events():
            # They do not wait for hours of samples: newer events have to wait for them.
            events = store.oldest_events(limit + len(self._events_left_out), skip)
        rows = store.oldest(limit, skip, after)
        # Set on the store's thread, so that its next job does not evict these rows.
        self._read_last = frozenset(stored.row for stored in (*events, *rows))
        # A stream that is skipped for days has very many rows: read past them only once.
        return events, rows, rows[-1].row if len(rows) == limit else store.read_to

    def rows_in_flight(self) -> frozenset[int]:
        """Return the rows that are on their way or delivered.

        They must not be evicted: they would be reported as lost, but arrive. Call this on the
        store's thread; copying a set is a single step that other threads cannot interrupt.
        """
        return self._read_last | self._busy

    def acknowledge(self, row: int) -> None:
        """Note that a stored sample was delivered; the next ``flush`` deletes it."""
        self._busy.add(row)
        self._delivered.append(row)

    def release(self, row: int) -> None:
        """Put a stored sample that was not delivered back in its place in the queue."""
        self._busy.discard(row)
        self._read_again_from(row)

    def leave_out(self, stored: Stored) -> None:
        """Put a stored sample back, and hand out younger ones before it."""
        self._busy.discard(stored.row)
        self._left_out = min(self._left_out, stored.row)
        if not stored.peripheral:
            self._events_left_out.add(stored.row)

    def read_left_out(self) -> None:
        """Hand out again what was left out."""
        self._read_again_from(self._left_out)
        self._left_out = sys.maxsize
        self._events_left_out.clear()

    def release_all(self) -> None:
        """Put back every sample that is on its way: the connection is gone."""
        self._busy = set(self._delivered)
        self._events_left_out.clear()
        self._read_last = frozenset()
        self._read_again_from(1)
        self.wake()

    def wake(self) -> None:
        """Make a waiting ``next_batch`` read again: rows are new, or streams no longer skipped."""
        self._woken.set()

    def wake_if_held(self) -> None:
        """Make a waiting ``next_batch`` read again if it waits for a live sample."""
        if self._holds:
            self.wake()

    def _read_again_from(self, row: int) -> None:
        """Include this row in the next read, even if a read that starts after it is running."""
        self._released = min(self._released, row)
        self._after = min(self._after, row - 1)

    def note_parked(self, topic: str, reason: str | None) -> None:
        """Store with the next ``flush`` why the broker refuses a topic; None: it is accepted."""
        self._parking[topic] = reason

    @property
    def has_outcomes(self) -> bool:
        """Whether ``flush`` has anything to do."""
        return bool(self._delivered or self._parking)

    async def flush(self) -> None:
        """Delete the delivered rows and store which topics are parked.

        Raises:
            DiskFailing: nothing was changed; the next call tries again.
        """
        rows, self._delivered = self._delivered, []
        parking, self._parking = self._parking, {}
        if not rows and not parking:
            return
        try:
            await self._disk.call(lambda store: store.record_outcomes(rows, parking))
        except DiskFailing:
            self._delivered += rows
            # release_all may have removed them in the meantime.
            self._busy.update(rows)
            self._parking = parking | self._parking
            raise
        self._busy.difference_update(rows)
