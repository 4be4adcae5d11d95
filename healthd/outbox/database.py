"""The outbox's file: opened, checked, and put aside where it is damaged or not ours."""

import sqlite3
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from healthd.outbox.schema import PRAGMAS, TABLES

# SQLite's default, named because the quota is counted in pages.
PAGE_BYTES = 4096


def open_database(path: Path, max_pages: int) -> sqlite3.Connection:
    """Open the file at ``path``, or make it, with its tables and a quota of ``max_pages``.

    Raises:
        sqlite3.DatabaseError: it cannot be opened or written, or is damaged; see ``is_corrupt``.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with closed_on_error(db):
        for pragma in (f"page_size={PAGE_BYTES}", *PRAGMAS):
            db.execute(f"PRAGMA {pragma}")
        db.execute(f"PRAGMA max_page_count={max_pages}")
        if sys.version_info >= (3, 12):
            # Keep the log when the last connection closes: a full disk could not make it anew.
            db.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        if db.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check found damage")
        db.executescript(TABLES)
    return db


def put_aside(path: Path) -> Path:
    """Rename the file at ``path``, if there is one, and return its new name."""
    aside = path.with_suffix(f".corrupt-{time.time_ns()}")
    with suppress(FileNotFoundError):
        path.rename(aside)
    remove_logs(path)
    return aside


def remove_logs(path: Path) -> None:
    """Remove what SQLite keeps beside the file at ``path``."""
    # A log without its database would be replayed into the next one.
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


@contextmanager
def closed_on_error(db: sqlite3.Connection) -> Generator[None]:
    """Close ``db`` when the block raises."""
    try:
        yield
    except BaseException:
        db.close()
        raise


def copy(source: sqlite3.Connection, made: sqlite3.Connection, last_row: int) -> None:
    """Copy all that ``source`` holds into the empty ``made``; its next row follows ``last_row``."""
    made.execute("BEGIN IMMEDIATE")
    for table in ("pending", "runs", "certain", "parked", "records"):
        for values in source.execute(f"SELECT * FROM {table}"):
            marks = ", ".join("?" * len(values))
            made.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)
    count_on(made, last_row)
    made.execute("COMMIT")


def count_on(db: sqlite3.Connection, last_row: int) -> None:
    """Have the next row of an empty store follow ``last_row``."""
    db.execute("DELETE FROM sqlite_sequence")
    db.execute("INSERT INTO sqlite_sequence VALUES ('pending', ?)", (last_row,))


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file's content is at fault, rather than the disk or our rights."""
    # Errors of our own making (quick_check) carry no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    # The low byte is the primary code; the rest says where the damage was met.
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
