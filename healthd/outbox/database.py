"""The outbox's database file: open it, check it, and set it aside if it cannot be used."""

import re
import sqlite3
import stat
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from healthd.outbox.schema import PRAGMAS
from healthd.outbox.version import check_version

# SQLite's default, named because the quota is counted in pages.
PAGE_BYTES = 4096


# A megabyte or two of samples: checking them does not delay the start, even on an SD card.
_CHECKED_AT_ONCE = 512

# One transaction of a copy: a larger one would make the log as large as the file.
_COPIED_ROWS = 1000


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotAFile(OSError):
    """There is something else than a file where the database should be."""


def check_is_file(path: Path) -> None:
    """Check that a regular file is at ``path``: SQLite waits forever at a named pipe.

    Raises:
        NotAFile: it is something else.
        OSError: there is nothing, or it is not accessible.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise NotAFile(f"{path} is {kind}, expected a file")


def open_database(path: Path, max_pages: int) -> sqlite3.Connection:
    """Open or create the file at ``path`` with a quota of ``max_pages``; ``upgrade`` adds tables.

    Raises:
        sqlite3.DatabaseError: it cannot be opened or written, or is damaged; see ``is_corrupt``.
        OtherVersion: it was not written by this version of healthd; it is not changed.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with closed_on_error(db):
        check_version(db)
        for pragma in (f"page_size={PAGE_BYTES}", *PRAGMAS):
            db.execute(f"PRAGMA {pragma}")
        db.execute(f"PRAGMA max_page_count={max_pages}")
        if sys.version_info >= (3, 12):
            # Keep the log when the last connection closes: a full disk could not create it again.
            db.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        if is_checked_at_once(db) and db.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check found damage")
    return db


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open the file for a look, even while a daemon uses it; it is neither created nor changed.

    Raises:
        NotAFile: there is something else at ``path``.
        OSError: there is nothing, or it is not accessible.
        sqlite3.DatabaseError: it cannot be opened or read.
        OtherVersion: it was not written by this version of healthd.
    """
    check_is_file(path)
    # By URI: with a plain path SQLite would create a missing file.
    uri = path.absolute().as_uri()
    db = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None)
    with closed_on_error(db):
        try:
            check_version(db)
        except sqlite3.OperationalError:
            if Path(f"{path}-wal").exists():
                raise
            # Only a user who may write to the folder can open the log. Without a log the file has
            # everything, and nothing changes it: no daemon uses it.
            db.close()
            db = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
            check_version(db)
    return db


def is_checked_at_once(db: sqlite3.Connection) -> bool:
    """Return whether so little is stored that all of it is checked when the file is opened."""
    pages: int = db.execute("PRAGMA page_count").fetchone()[0]
    unused: int = db.execute("PRAGMA freelist_count").fetchone()[0]
    return pages - unused <= _CHECKED_AT_ONCE


def set_file_aside(path: Path, label: str = "corrupt") -> Path:
    """Rename the file at ``path``, if there is one, with its log, and return its new name."""
    aside = path.with_suffix(f".{label}-{time.time_ns()}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        # What is only in the log belongs to the file: both are needed to recover the samples.
        Path(f"{path}-wal").rename(f"{aside}-wal")
    remove_logs(path)
    return aside


def files_set_aside(path: Path) -> list[Path]:
    """Return the files that were set aside in favour of the one at ``path``, oldest first."""
    labelled = re.compile(rf"{re.escape(path.stem)}\.[a-z][a-z0-9-]*-(\d{{19}})")
    names = (labelled.fullmatch(file.name) for file in path.parent.iterdir())
    found = sorted((name[1], name[0]) for name in names if name)
    return [path.with_name(name) for _, name in found]


def remove_logs(path: Path) -> None:
    """Remove the log files that SQLite keeps next to the file at ``path``."""
    # A log without its database would be replayed into the next one.
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[sqlite3.Connection]:
    """Commit everything that the block does, or nothing if it raises."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        # On a full disk SQLite has already rolled back, and a second rollback fails.
        with suppress(sqlite3.OperationalError):
            db.execute("ROLLBACK")
        raise


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
    with transaction(target):
        for table in ("runs", "certain", "parked", "records"):
            _insert(target, table, source.execute(f"SELECT * FROM {table}"))
    # The triggers of the target keep its tally.
    rows = source.execute("SELECT * FROM pending ORDER BY row")
    while batch := rows.fetchmany(_COPIED_ROWS):
        with transaction(target):
            _insert(target, "pending", batch)
    with transaction(target):
        set_last_row(target, last_row)


def rescue_rows(source: sqlite3.Connection, target: sqlite3.Connection, after: int) -> None:
    """Copy the readable rows that follow ``after`` in a damaged file, from both ends to the damage.

    Raises:
        sqlite3.OperationalError: ``target`` cannot be written.
    """
    for order in ("ASC", "DESC"):
        query = f"SELECT * FROM pending WHERE row > {after} ORDER BY row {order}"
        rows = _rows_until_damage(source, query)
        while batch := list(islice(rows, _COPIED_ROWS)):
            with transaction(target):
                for values in batch:
                    # What the table does not accept is damaged as well.
                    with suppress(sqlite3.IntegrityError):
                        _insert(target, "pending", [values])
            after = max(after, batch[-1][0]) if order == "ASC" else after


def _rows_until_damage(source: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    with suppress(sqlite3.DatabaseError):
        yield from source.execute(query)


def _insert(target: sqlite3.Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    for values in rows:
        marks = ", ".join("?" * len(values))
        target.execute(f"INSERT INTO {table} VALUES ({marks})", values)


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


def is_full(error: sqlite3.Error) -> bool:
    """Return whether the quota is used up, or the disk is full."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
