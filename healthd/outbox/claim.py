"""Claims the outbox's space on the disk in advance, so that a full disk cannot stop it later.

If the file had to grow, a full disk would refuse even a DELETE: every change goes to the
write-ahead log first, and from there to the database at the next checkpoint.

A new file has its space from the beginning, see ``reserve.py``. What is written here is what such a
file lacks: on file systems that cannot reserve space, and after ``max_size`` was raised.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from healthd.outbox.reserve import AMPLE, LOG_BYTES, free_bytes
from healthd.outbox.version import note_tables

# Pages per step: large enough to need few steps, small enough that samples never wait long.
_STEP_PAGES = 256

# Roughly what a page of a large blob holds: each page also has a pointer to the next one.
_PAGE_PAYLOAD = 4000

# The last few pages are not worth a step.
_CLOSE_ENOUGH_PAGES = 16

# What a step adds to the database, and the same again for other programs; the log needs its share
# in addition.
_LEAVE_FREE_BYTES = 2 * _STEP_PAGES * 4096


def claim_step(db: sqlite3.Connection, path: Path, max_pages: int) -> bool:
    """Claim the next piece of log and database; return False once there is nothing to claim.

    Args:
        db: the open database at ``path``.
        path: its file.
        max_pages: its quota. If the disk has less, only what the disk has is claimed.

    Raises:
        sqlite3.OperationalError: the disk fails.
    """
    log = Path(f"{path}-wal")
    free = free_bytes(path.parent)
    if free > AMPLE * LOG_BYTES and log.stat().st_size < LOG_BYTES:
        _claim_log(db, log)
    missing = max_pages - page_count(db)
    unused: int = db.execute("PRAGMA freelist_count").fetchone()[0]
    pages = unused + min(missing - _CLOSE_ENOUGH_PAGES // 2, _STEP_PAGES)
    # All of it is written to the log first, including the pages that the database has unused. After
    # a restart on a small disk these alone may need more than the free space.
    if missing > _CLOSE_ENOUGH_PAGES and free > _LEAVE_FREE_BYTES + pages * 4096:
        db.execute("BEGIN IMMEDIATE")
        _create_filler(db)
        db.execute("INSERT INTO filler VALUES (zeroblob(?))", (pages * _PAGE_PAYLOAD,))
        db.execute("COMMIT")
        return True
    if drop_filler(db):
        # What is still in the log is claimed only once a checkpoint has moved it to the file.
        db.execute("PRAGMA wal_checkpoint(RESTART)")
    if missing <= _CLOSE_ENOUGH_PAGES:
        # A page that is not claimed could be committed to the log and never reach the file.
        db.execute(f"PRAGMA max_page_count={page_count(db)}")
    return False


def page_count(db: sqlite3.Connection) -> int:
    """Return how many pages the database has, used or not."""
    count: int = db.execute("PRAGMA page_count").fetchone()[0]
    return count


def drop_filler(db: sqlite3.Connection) -> bool:
    """Free the pages that only hold a claim; return False if there are none."""
    exists = "SELECT 1 FROM sqlite_schema WHERE name = 'filler'"
    if db.execute(exists).fetchone() is None:
        return False
    db.execute("DROP TABLE filler")
    note_tables(db)
    return True


def _create_filler(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS filler (blank BLOB)")
    note_tables(db)


def _claim_log(db: sqlite3.Connection, log: Path) -> None:
    # A user's quota may be smaller than the free space: the log then grows with the samples.
    with suppress(OSError), log.open("r+b") as opened:
        # If the file system cannot reserve blocks, glibc writes them.
        os.posix_fallocate(opened.fileno(), 0, LOG_BYTES)
    # The first page in the log makes SQLite write all of the log's index, a file in memory-mapped
    # pages: on a full disk with small blocks, its holes would end the process (SIGBUS).
    note_tables(db)
