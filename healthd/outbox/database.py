"""The outbox's database file: open it, check it, and set it aside if it is damaged or foreign."""

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
    """Open or create the file at ``path``, with its tables and a quota of ``max_pages``.

    Raises:
        sqlite3.DatabaseError: it cannot be opened or written, or is damaged; see ``is_corrupt``.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with closed_on_error(db):
        for pragma in (f"page_size={PAGE_BYTES}", *PRAGMAS):
            db.execute(f"PRAGMA {pragma}")
        db.execute(f"PRAGMA max_page_count={max_pages}")
        if sys.version_info >= (3, 12):
            # Keep the log when the last connection closes: a full disk could not create it again.
            db.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        if db.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check found damage")
        db.executescript(TABLES)
    return db


def set_file_aside(path: Path) -> Path:
    """Rename the file at ``path``, if there is one, and return its new name."""
    aside = path.with_suffix(f".corrupt-{time.time_ns()}")
    with suppress(FileNotFoundError):
        path.rename(aside)
    remove_logs(path)
    return aside


def remove_logs(path: Path) -> None:
    """Remove the log files that SQLite keeps next to the file at ``path``."""
    # A log without its database would be replayed into the next one.
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


@contextmanager
def closed_on_error(db: sqlite3.Connection) -> Generator[None]:
    """Close ``db`` if the block raises."""
    try:
        yield
    except BaseException:
        db.close()
        raise


def copy_tables(source: sqlite3.Connection, target: sqlite3.Connection, last_row: int) -> None:
    """Copy all tables of ``source`` to the empty ``target``; its next row follows ``last_row``."""
    target.execute("BEGIN IMMEDIATE")
    for table in ("pending", "runs", "certain", "parked", "records"):
        for values in source.execute(f"SELECT * FROM {table}"):
            marks = ", ".join("?" * len(values))
            target.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)
    set_last_row(target, last_row)
    target.execute("COMMIT")


def set_last_row(db: sqlite3.Connection, last_row: int) -> None:
    """Make the row numbers of an empty store continue after ``last_row``."""
    db.execute("DELETE FROM sqlite_sequence")
    db.execute("INSERT INTO sqlite_sequence VALUES ('pending', ?)", (last_row,))


def is_corrupt(error: sqlite3.Error) -> bool:
    """Return whether the file's content is at fault, rather than the disk or our permissions."""
    # The error that open_database raises after quick_check has no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    # The low byte is the primary code; the rest says where the damage was found.
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
