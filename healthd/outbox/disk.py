"""Runs the store on its own thread, and handles a failing file or disk."""

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
from healthd.host.folders import broken_link
from healthd.outbox.database import check_is_file, is_corrupt
from healthd.outbox.store import Store

# A failing SD card is tried again soon enough to save most of what memory still holds.
_RETRY = Backoff(first_s=0.5, ceiling_s=10.0)

# Errors of a disk that is full, broken or set read-only by its file system. Any other error that
# makes the folder unusable (permissions, a file at its path) has to be fixed by a person.
_DISK_ERRORS = (errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


class Notice(Protocol):
    """A callback for changes of the outbox's state; called in the event loop."""

    def __call__(self, change: OutboxChange, detail: str) -> None:
        """Report a change; see ``events.OutboxEvent``."""
        ...


class DiskFailing(Transient):
    """The disk cannot be read or written now; memory keeps the newest samples meanwhile."""


class Disk:
    """Runs calls on the store, one at a time, off the event loop.

    Attributes:
        degraded: whether the last call failed, so that nothing can be kept on disk for now.
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
            Fatal: its folder cannot be created or written, or another process uses it.
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
            if (link := broken_link(self._path.parent)) is not None:
                raise OSError(f"{link} is a link to {link.readlink()}, which does not exist")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._lock_file is None:
                self._lock_file = self._lock()
            if self._path.exists():
                check_is_file(self._path)
                # The error of open() is clearer than SQLite's.
                self._path.open("r+b").close()
        except OSError as error:
            if error.errno in _DISK_ERRORS:
                raise
            expected = "a folder that healthd can write to and that no other process uses"
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
        """Close the store; committed samples stay on disk."""
        if self._store is not None:
            await self._on_thread(self._store.close)
        if self._lock_file is not None:
            self._lock_file.close()
        self._thread.shutdown()

    async def call(self, work: Callable[[Store], T]) -> T:
        """Run ``work`` on the store's thread, and return its result.

        If the caller is cancelled, the work is still done.

        Raises:
            DiskFailing: the disk failed. A file that was deleted or is damaged is not an error: it
                is replaced, and the work is done on the new file.
            Fatal: the disk has failed until now, and is back, but may not be used; see ``open``.
        """
        try:
            if self._store is None and (notice := (await self._on_thread(self._opened)).notice):
                self._notice(*notice)
            result, repair, wrote = await self._on_thread(lambda: self._attempt(work))
        except (sqlite3.Error, OSError) as error:
            problem = self._problem(error)
            if not self.degraded:
                self.degraded = True
                self._notice("degraded", problem)
            raise DiskFailing("disk_failing", problem, _RETRY) from error
        if repair is not None:
            self._notice(*repair)
        # A disk that can be read is not necessarily one that can be written.
        if self.degraded and wrote:
            self.degraded = False
            self._notice("recovered", "the disk can be written again")
        return result

    def _problem(self, error: Exception) -> str:
        """Return what is wrong; SQLite's messages do not name the file."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CANTOPEN:
            return f"{self._path}: {error}: is its disk mounted, and does its folder exist?"
        return f"{self._path}: {error}"

    def _attempt(
        self, work: Callable[[Store], T]
    ) -> tuple[T, tuple[OutboxChange, str] | None, bool]:
        """Return the result of ``work``, how the file was repaired for it, and whether it wrote."""
        store = self._opened()
        try:
            if store.is_deleted():
                aside = store.recreate()
                was = "deleted" if aside is None else f"replaced by another ({aside.name})"
                return work(store), ("deleted", f"file was {was}; recreated with all samples"), True
            before = store.writes
            return work(store), None, store.writes != before
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            store.start_empty()
            name = store.set_aside.name if store.set_aside else "nothing"
            return work(store), ("corrupt", f"{error}; set aside as {name}, started empty"), True

    async def _on_thread(self, work: Callable[[], T]) -> T:
        # Shielded: cancellation must not separate a commit from the bookkeeping that follows it.
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, work))
