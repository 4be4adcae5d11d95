"""Claims the outbox's space on the disk in advance, so that a full disk cannot stop it later.

If the file had to grow, a full disk would refuse even a DELETE: every change goes to the
write-ahead log first, and from there to the database at the next checkpoint.
"""

import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

from healthd.outbox.version import note_tables

# Pages per step: large enough to need few steps, small enough that samples never wait long.
_STEP_PAGES = 256

# Roughly what a page of a large blob holds: each page also has a pointer to the next one.
_PAGE_PAYLOAD = 4000

# The last few pages are not worth a step.
_CLOSE_ENOUGH_PAGES = 16

# A checkpoint begins after 256 pages, and the largest transaction (an eviction, a batch) is well
# below 100 pages. The claimed log holds both several times.
_LOG_BYTES = 800 * (4096 + 24)

# The log is claimed only if the free space is at least this many times its size.
_AMPLE = 3

# Rewritten until the log has grown; small, because the database itself may have little room.
_LOG_FILLER_BYTES = 32 * _PAGE_PAYLOAD

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
    free = shutil.disk_usage(path.parent).free
    if free > _AMPLE * _LOG_BYTES and log.stat().st_size < _LOG_BYTES:
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
    db.execute("PRAGMA wal_autocheckpoint=0")
    # Only filler is written here, and the checkpoint below flushes all of it.
    db.execute("PRAGMA synchronous=OFF")
    try:
        _create_filler(db)
        db.execute("INSERT INTO filler VALUES (zeroblob(?))", (_LOG_FILLER_BYTES,))
        while log.stat().st_size < _LOG_BYTES:
            # Random, because SQLite does not write a page that has not changed.
            db.execute("UPDATE filler SET blank = randomblob(?)", (_LOG_FILLER_BYTES,))
    except sqlite3.OperationalError as error:
        # Samples fill the quota: the log has grown, and keeps growing, with them.
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
    finally:
        with suppress(sqlite3.OperationalError):
            drop_filler(db)
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA wal_autocheckpoint=256")
    # Make the next write start at the log's beginning; the log keeps its size.
    db.execute("PRAGMA wal_checkpoint(RESTART)")
