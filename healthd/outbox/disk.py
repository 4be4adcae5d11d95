"""The store on a thread of its own, and what is done when file or disk fail."""

import asyncio
import errno
import fcntl
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from healthd.errors import Backoff, Fatal, Transient
from healthd.events import OutboxChange
from healthd.outbox.database import is_corrupt
from healthd.outbox.store import Store

# A card that fails is tried again soon enough to save most of what memory still holds.
_RETRY = Backoff(first_s=0.5, ceiling_s=10.0)

# What a disk that is full, broken or set read-only by its file system answers. Anything else that
# keeps the folder from being used (rights, a file in its place) is a person's to mend.
_DISK_ERRORS = (errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


class Notice(Protocol):
    """Told when something befell the outbox; called in the event loop."""

    def __call__(self, change: OutboxChange, detail: str) -> None:
        """See ``events.OutboxEvent``."""
        ...


class DiskFailing(Transient):
    """The disk does not take or give samples now; memory keeps the newest meanwhile."""


class Disk:
    """Runs calls on the store, one at a time, off the event loop.

    Attributes:
        degraded: the last call failed: nothing can be kept on disk for now.
    """

    def __init__(self, path: Path, max_bytes: int, notice: Notice) -> None:
        """Prepare; ``open`` opens the file at ``path``."""
        self._path = path
        self._max_bytes = max_bytes
        self._notice = notice
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        self._store: Store | None = None
        self._lock_file: BinaryIO | None = None
        self.degraded = False

    async def open(self) -> None:
        """Open the store; while the disk fails, each later call tries again.

        Raises:
            Fatal: its folder cannot be made or written, or another healthd uses it.
        """
        try:
            with suppress(DiskFailing):
                await self.call(lambda _store: None)
        except Fatal:
            await self.close()
            raise

    def _opened(self) -> Store:
        if self._store is None:
            self._store = self._open()
        return self._store

    def _open(self) -> Store:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._lock_file is None:
                self._lock_file = self._lock()
            if self._path.exists():
                # Says what is wrong more clearly than SQLite does.
                self._path.open("r+b").close()
        except OSError as error:
            if error.errno in _DISK_ERRORS:
                raise
            expected = "a folder that healthd may write, for it alone"
            raise Fatal(f"outbox {self._path.parent}: {error}, expected {expected}") from error
        return Store(self._path, self._max_bytes)

    def _lock(self) -> BinaryIO:
        lock_file = self._path.with_suffix(".lock").open("wb")
        try:
            # Two daemons on one outbox would deliver and delete each other's samples.
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock_file.close()
            raise
        return lock_file

    async def close(self) -> None:
        """Close the store; what was committed stays."""
        if self._store is not None:
            await self._on_thread(self._store.close)
        if self._lock_file is not None:
            self._lock_file.close()
        self._thread.shutdown()

    async def call(self, work: Callable[[Store], T]) -> T:
        """Run ``work`` on the store's thread.

        A caller that is cancelled leaves; the work is done all the same.

        Raises:
            DiskFailing: the disk failed. A file that was deleted or is damaged is replaced, and
                the work then done on the new one.
            Fatal: the disk, which had failed until now, is there and may not be used; see ``open``.
        """
        try:
            if self._store is None and (aside := (await self._on_thread(self._opened)).set_aside):
                self._notice("corrupt", f"set aside as {aside.name}, started empty")
            result, mended, wrote = await self._on_thread(lambda: self._attempt(work))
        except (sqlite3.Error, OSError) as error:
            if not self.degraded:
                self.degraded = True
                self._notice("degraded", str(error))
            raise DiskFailing("disk_failing", str(error), _RETRY) from error
        if mended is not None:
            self._notice(*mended)
        # A disk that can still be read is no sign that it can be written.
        if self.degraded and wrote:
            self.degraded = False
            self._notice("recovered", "the disk takes samples again")
        return result

    def _attempt(
        self, work: Callable[[Store], T]
    ) -> tuple[T, tuple[OutboxChange, str] | None, bool]:
        """What ``work`` returned, what had to be mended for it, and whether it wrote."""
        store = self._opened()
        if store.is_deleted():
            store.restore()
            return (
                work(store),
                ("deleted", "its file was deleted; made anew with all samples"),
                True,
            )
        try:
            before = store.writes
            return work(store), None, store.writes != before
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            store.start_anew()
            name = store.set_aside.name if store.set_aside else "nothing"
            return work(store), ("corrupt", f"{error}; set aside as {name}, started empty"), True

    async def _on_thread(self, work: Callable[[], T]) -> T:
        # Shielded: a commit must not be cut off from the bookkeeping that follows it.
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, work))
