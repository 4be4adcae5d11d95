"""Runs the store on its own thread, and handles a failing file or disk."""

import asyncio
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from healthd.errors import Backoff, Fatal, Transient
from healthd.events import OutboxChange
from healthd.host.folders import broken_link
from healthd.host.private import make_folder
from healthd.outbox.database import check_is_file, is_damage
from healthd.outbox.report import Found
from healthd.outbox.schema import Lost
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


class LossNotice(Protocol):
    """A callback for samples that are lost with damaged rows; called in the event loop."""

    def __call__(self, reason: str, lost: Lost) -> None:
        """Report a loss; see ``events.Gap``."""
        ...


def _ignore(reason: str, lost: Lost) -> None:
    del reason, lost


class DiskFailing(Transient):
    """The disk cannot be read or written now; memory keeps the newest samples meanwhile."""


class Disk:
    """Runs calls on the store, one at a time, off the event loop.

    Attributes:
        degraded: whether the last call failed, so that nothing can be kept on disk for now.
    """

    def __init__(
        self, path: Path, max_bytes: int, notice: Notice, on_lost: LossNotice = _ignore
    ) -> None:
        """Prepare; ``open`` opens the file at ``path``."""
        self._path = path
        self._max_bytes = max_bytes
        self._notice = notice
        self._on_lost = on_lost
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
            make_folder(self._path.parent)
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
        lock_file = self._lock_path.open("wb")
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
        self._report()
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

    def _report(self) -> None:
        """Report what the store has found damaged, or cannot hold."""
        found = Found() if self._store is None else self._store.report.pop()
        for reason, lost in found.lost:
            self._on_lost(reason, lost)
        for change, detail in found.notices:
            self._notice(change, detail)

    def _attempt(
        self, work: Callable[[Store], T]
    ) -> tuple[T, tuple[OutboxChange, str] | None, bool]:
        """Return the result of ``work``, how the file was repaired for it, and whether it wrote."""
        store = self._opened()
        try:
            if store.is_deleted():
                repair: tuple[OutboxChange, str] = ("deleted", self._recreate(store))
                return work(store), repair, True
            before = store.writes
            return work(store), None, store.writes != before
        except sqlite3.Error as error:
            if not is_damage(error, self._path):
                raise
            return self._heal(store, error, work)
        except UnicodeDecodeError as error:
            # Python cannot read SQLite's message, which quotes damaged text.
            return self._heal(store, sqlite3.DatabaseError(str(error)), work)

    def _heal(
        self, store: Store, error: sqlite3.Error, work: Callable[[Store], T]
    ) -> tuple[T, tuple[OutboxChange, str] | None, bool]:
        """Do the work after the damage that it has found is repaired."""
        if isinstance(error, sqlite3.IntegrityError):
            # The rows that it writes are right, so the triggers have met a damaged tally.
            with suppress(sqlite3.DatabaseError):
                store.recount()
                store.report.notice("damaged", f"{error}: what waits is counted again")
                return work(store), None, True
        repair: tuple[OutboxChange, str] = ("corrupt", store.start_over(error))
        return work(store), repair, True

    def _recreate(self, store: Store) -> str:
        """Create file and folder again after someone has moved or deleted them."""
        make_folder(self._path.parent)
        if self._lock_file is not None and not self._is_locked():
            # The new folder is a new place, in which another process may be.
            lock, self._lock_file = self._lock_file, self._lock()
            lock.close()
        aside = store.recreate()
        was = "deleted" if aside is None else f"replaced by another ({aside.name})"
        return f"file was {was}; recreated with all samples"

    @property
    def _lock_path(self) -> Path:
        return self._path.with_suffix(".lock")

    def _is_locked(self) -> bool:
        """Return whether the lock that this process holds is the one in the folder."""
        try:
            held = self._lock_file is not None and os.fstat(self._lock_file.fileno()).st_ino
            return self._lock_path.stat().st_ino == held
        except OSError:
            return False

    async def _on_thread(self, work: Callable[[], T]) -> T:
        # Shielded: cancellation must not separate a commit from the bookkeeping that follows it.
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, work))
