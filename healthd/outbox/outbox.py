"""Write-around store and forward: memory first, disk for what the broker does not acknowledge.

A sample that is acknowledged within ``SPILL_AFTER_S`` never touches the disk. One that is not
(the broker is slow or away, or the daemon stops) is committed to the store, leaves the live path
and is delivered later as history.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from healthd.errors import Backoff, Fatal, Transient
from healthd.log import get_logger
from healthd.outbox.store import Store, Stored
from healthd.samples import Sample

# The promise: at most 2 s of unacknowledged samples live in memory alone.
SPILL_AFTER_S = 2.0

# A quarter of the promise: the oldest unsaved sample is committed in time, in few transactions.
_TICK_S = 0.5

# The promise leaves memory as the only place while the disk cannot be written; 4,096 samples of
# about 1 kB each are a few megabytes, more than a minute of 32 peripherals.
_MEMORY_LIMIT = 4096

# A card that fails is tried again soon enough to save most of what memory still holds.
_DISK_BACKOFF = Backoff(first_s=0.5, ceiling_s=10.0)

T = TypeVar("T")


class Pending:
    """A sample on the live path.

    Attributes:
        sample: what is to be delivered.
        row: where the store keeps it, once it does.
        acked: the broker has acknowledged it.
        urgent: it goes to disk at once, however young.
    """

    __slots__ = ("acked", "row", "sample", "urgent")

    def __init__(self, sample: Sample) -> None:
        """Start in memory, unacknowledged."""
        self.sample = sample
        self.row: int | None = None
        self.acked = False
        self.urgent = False

    def overdue(self, now_ns: int) -> bool:
        """True when memory alone may not keep it any longer."""
        age_ns = now_ns - self.sample.stamp.mono_ns
        return self.row is None and (self.urgent or age_ns >= SPILL_AFTER_S * 1e9)


class Outbox:
    """The queue between the pipeline and the publisher. Use as an async context manager."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        """``open_store`` runs on the store's own thread, when the outbox is entered."""
        self._open_store = open_store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        self._waiting: deque[Pending] = deque()
        # A dict for its order and its cheap removal: what the broker has and did not acknowledge.
        self._sent: dict[Pending, None] = {}
        self._refused: list[Pending] = []
        self._delivered: list[int] = []
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()
        self._spilled = asyncio.Event()
        self._log = get_logger(service="outbox")
        self._store: Store
        self._spilling: asyncio.Task[None] | None = None
        self._dropped = 0

    async def __aenter__(self) -> Self:
        """Open the store.

        Raises:
            Fatal: its folder cannot be made, or its file cannot be opened and written.
        """
        try:
            self._store = await self._on_thread(self._open_store)
        except (OSError, sqlite3.OperationalError) as error:
            raise Fatal(f"outbox: {error}, expected a folder that healthd may write") from error
        if await self._on_thread(self._store.count):
            self._spilled.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit what the broker has not acknowledged, and close the store."""
        self.give_back()
        if self._spilling is not None:
            await asyncio.wait([self._spilling])
        for pending in self._waiting:
            pending.urgent = True
        try:
            await self._spill()
            await self._forget_delivered()
        except sqlite3.Error as error:
            lost = len(self._waiting) + len(self._refused)
            self._log.error("outbox cannot be written, samples lost", count=lost, error=str(error))
        finally:
            await self._on_thread(self._store.close)
            self._thread.shutdown()

    def put(self, sample: Sample) -> None:
        """Take responsibility for a sample. Never blocks: it runs in notification callbacks."""
        self._waiting.append(Pending(sample))
        self._arrived.set()
        if len(self._waiting) > _MEMORY_LIMIT:
            self._waiting.popleft()
            self._dropped += 1

    async def take(self) -> Pending:
        """The oldest sample that is not with the broker yet; waits for one."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            pending = self._waiting.popleft()
            # An acknowledgement that came with the last bytes of a connection may follow it back.
            if not pending.acked:
                self._sent[pending] = None
                return pending

    def acknowledge(self, pending: Pending) -> None:
        """The broker has it: forget it, on disk too if it went there meanwhile."""
        pending.acked = True
        self._sent.pop(pending, None)
        if pending.row is not None:
            self._delivered.append(pending.row)
        self._check_settled()

    def refuse(self, pending: Pending) -> None:
        """The broker will not have it live: keep it on disk, off the live path."""
        self._sent.pop(pending, None)
        pending.urgent = True
        if pending.row is None:
            self._refused.append(pending)

    def give_back(self) -> None:
        """The connection is gone: what was sent and not acknowledged waits again, in order."""
        for pending in reversed(self._sent):
            if pending.row is None:
                self._waiting.appendleft(pending)
        self._sent.clear()
        self._arrived.set()

    async def settled(self) -> None:
        """Wait until the broker has acknowledged every sample on the live path."""
        self._check_settled()
        await self._settled.wait()

    async def backlog(self, after: int, limit: int) -> list[Stored]:
        """The oldest stored samples behind row ``after``; waits until there are some."""
        while True:
            self._spilled.clear()
            with_broker = {pending.row for pending in self._sent}
            rows = await self._on_thread(lambda: self._store.after(after, limit))
            if rows := [stored for stored in rows if stored.row not in with_broker]:
                return rows
            await self._spilled.wait()

    def forget(self, row: int) -> None:
        """A stored sample was delivered; it is deleted with the next batch."""
        self._delivered.append(row)

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Move to disk what waits too long, and delete what was delivered. Ends only by raising.

        Raises:
            Transient: the disk cannot be written; memory keeps the newest meanwhile.
        """
        told = self._dropped
        while True:
            await asyncio.sleep(_TICK_S)
            if self._dropped != told:
                told = self._dropped
                self._log.error("memory full, oldest samples dropped", total=told)
            # A task of its own: a stop must not cut a commit off from the bookkeeping after it.
            self._spilling = asyncio.create_task(self._spill())
            try:
                await asyncio.shield(self._spilling)
                await self._forget_delivered()
                mark_healthy()
            except sqlite3.Error as error:
                raise Transient("disk_failing", str(error), _DISK_BACKOFF) from error

    async def _spill(self) -> None:
        now_ns = time.monotonic_ns()
        live_path = (*self._refused, *self._sent, *self._waiting)
        overdue = [pending for pending in live_path if pending.overdue(now_ns)]
        if not overdue:
            return
        samples = [pending.sample for pending in overdue]
        batch = [(s.peripheral, s.stream, s.schema, s.payload()) for s in samples]
        rows = await self._on_thread(lambda: self._store.append(batch))
        for pending, row in zip(overdue, rows, strict=True):
            pending.row = row
            if pending.acked:
                self._delivered.append(row)
        self._waiting = deque(pending for pending in self._waiting if pending.row is None)
        self._refused.clear()
        self._spilled.set()
        self._check_settled()

    async def _forget_delivered(self) -> None:
        if rows := self._delivered:
            self._delivered = []
            await self._on_thread(lambda: self._store.delete(rows))

    def _check_settled(self) -> None:
        if self._waiting or self._sent or self._refused:
            self._settled.clear()
        else:
            self._settled.set()

    async def _on_thread(self, call: Callable[[], T]) -> T:
        # Shielded: a cancelled caller must not leave a half-known commit behind.
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, call))
