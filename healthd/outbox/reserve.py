"""Creates the outbox's file with its quota reserved on the disk, although hardly any is written.

A free page of a database has no content: SQLite only keeps a list of them. So the file system is
asked for the blocks of the whole file, and the list is written: 0.25 MB for the default quota. To
write the pages instead took 522 MB, because each of them went through the log.

Layout: https://www.sqlite.org/fileformat2.html#the_freelist
"""

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from healthd.outbox.raw_log import PAGE_BYTES
from healthd.outbox.version import upgrade

LOG_BYTES = 800 * (PAGE_BYTES + 24)
"""What is claimed for the write-ahead log. A checkpoint begins after 256 pages, and the largest
transaction (an eviction, a batch) is well below 100 pages: both fit several times."""

AMPLE = 3
"""The log is claimed only if the free space is at least this many times its size."""

# For the log, and for other programs.
_LEAVE_FREE_BYTES = AMPLE * LOG_BYTES + 1_000_000

# A list with fewer pages is not worth it: the first steps of ``claim_step`` claim as many.
_LEAST_PAGES = 128

# So much is reserved to find out whether the file system can do that.
_TRIED_BYTES = 64 * 1024

# Entries of a page of the list; the last six are not used, as very old versions misread them.
_LISTED = PAGE_BYTES // 4 - 8

# A rollback journal would protect a draft that is thrown away after a kill anyway.
_DRAFT_PRAGMAS = (
    f"page_size={PAGE_BYTES}",
    "auto_vacuum=NONE",
    "journal_mode=OFF",
    "synchronous=OFF",
)


def create_reserved(path: Path, max_pages: int) -> None:
    """Create an empty outbox with up to ``max_pages`` pages, if there is none.

    Nothing is created if the disk has too little space, or if its file system cannot reserve any:
    then SQLite creates the file, and ``claim_step`` claims what it can by writing.
    """
    if path.is_symlink() or Path(f"{path}-wal").exists():
        # A log without its file would be replayed into this one; SQLite removes it.
        return
    if path.exists() and path.stat().st_size:
        return
    pages = min(max_pages, (free_bytes(path.parent) - _LEAVE_FREE_BYTES) // PAGE_BYTES)
    if pages < _LEAST_PAGES:
        return
    draft = path.with_suffix(".new")
    try:
        # A kill has left it.
        draft.unlink(missing_ok=True)
        if _make(draft, pages):
            draft.rename(path)
            _flush_folder(path.parent)
    except (OSError, sqlite3.Error):
        # The same again, or worse, happens to SQLite, whose error is reported.
        pass
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def free_bytes(folder: Path) -> int:
    """Return how much a user may still write to the disk of a folder, in bytes."""
    # As shutil.disk_usage, which costs half a megabyte of memory for its other functions.
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _make(draft: Path, pages: int) -> bool:
    """Make the file; return False if its space cannot be reserved."""
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as db:
            for pragma in _DRAFT_PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
            upgrade(db)
        used = os.fstat(descriptor).st_size
        if not _can_reserve(descriptor, used):
            return False
        os.posix_fallocate(descriptor, 0, pages * PAGE_BYTES)
        for number, content in _free_pages(used // PAGE_BYTES + 1, pages):
            os.pwrite(descriptor, content, (number - 1) * PAGE_BYTES)
        first, count = used // PAGE_BYTES + 1, pages - used // PAGE_BYTES
        # Bytes 28 to 39 of the file: number of pages, first page of the list, free pages.
        os.pwrite(descriptor, struct.pack(">III", pages, first, count), 28)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def _can_reserve(descriptor: int, end: int) -> bool:
    """Return whether blocks at the end of a file can be reserved; try it with a few of them.

    On file systems that cannot, glibc writes zeros instead: to the whole file, if it were asked to.
    """
    os.posix_fallocate(descriptor, end, _TRIED_BYTES)
    try:
        os.lseek(descriptor, end, os.SEEK_DATA)
    except OSError:
        # No data follows: it is reserved, and not written.
        return True
    return False


def _free_pages(first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the pages that list themselves and the others as free.

    SQLite takes the first entry of a page, then the others from the last one on. In this order it
    uses the file from front to back.
    """
    while first <= last:
        end = min(first + _LISTED, last)
        listed = [*range(first + 1, end + 1)]
        listed[1:] = reversed(listed[1:])
        following = end + 1 if end < last else 0
        yield first, struct.pack(f">{2 + len(listed)}I", following, len(listed), *listed)
        first = end + 1


def _flush_folder(folder: Path) -> None:
    """Keep the new name of a file after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
