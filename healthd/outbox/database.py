"""The outbox's database file: open it, and check it."""

import sqlite3
import stat
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from healthd.host.private import make_files
from healthd.outbox.raw_log import PAGE_BYTES, has_lost_commits, is_cut_off
from healthd.outbox.schema import PRAGMAS
from healthd.outbox.version import check_version

# A megabyte or two of samples: checking them does not delay the start, even on an SD card.
_CHECKED_AT_ONCE = 512

# One transaction of a copy: a larger one would make the log as large as the file.
_COPIED_ROWS = 1000


# Damaged text is an error to SQLite's module, for the whole query. Instead it gets replacement
# characters, and its row's checksum is wrong.
_text = partial(str, encoding="utf-8", errors="replace")

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
        sqlite3.DatabaseError: it cannot be opened or written, or is damaged; see ``is_damage``.
        OtherVersion: it was not written by this version of healthd; it is not changed.
    """
    # Not later: SQLite would end at the damage without a word, and might remove the log.
    _check_beginning(path)
    make_files(path)
    if has_lost_commits(path):
        raise sqlite3.DatabaseError("the log is damaged")
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with closed_on_error(db):
        db.text_factory = _text
        check_version(db)
        for pragma in (f"page_size={PAGE_BYTES}", *PRAGMAS):
            db.execute(f"PRAGMA {pragma}")
        db.execute(f"PRAGMA max_page_count={max_pages}")
        if sys.version_info >= (3, 12):
            # Keep the log when the last connection closes: a full disk could not create it again.
            db.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
    return db


def _check_beginning(path: Path) -> None:
    """Check that the file has its beginning: else SQLite removes the log, even if it only reads.

    Raises:
        sqlite3.DatabaseError: it has not.
    """
    if is_cut_off(path):
        raise sqlite3.DatabaseError("the file was cut off at its beginning")


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open the file for a look, even while a daemon uses it; it is neither created nor changed.

    Raises:
        NotAFile: there is something else at ``path``.
        OSError: there is nothing, or it is not accessible.
        sqlite3.DatabaseError: it cannot be opened or read.
        OtherVersion: it was not written by this version of healthd.
    """
    check_is_file(path)
    _check_beginning(path)
    # By URI: with a plain path SQLite would create a missing file.
    uri = path.absolute().as_uri()
    db = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None)
    with closed_on_error(db):
        db.text_factory = _text
        try:
            check_version(db)
        except sqlite3.OperationalError:
            if Path(f"{path}-wal").exists():
                raise
            # Only a user who may write to the folder can open the log. Without a log the file has
            # everything, and nothing changes it: no daemon uses it.
            db.close()
            db = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
            db.text_factory = _text
            check_version(db)
    return db


def is_checked_at_once(db: sqlite3.Connection) -> bool:
    """Return whether so little is stored that all of it is checked when the file is opened."""
    pages: int = db.execute("PRAGMA page_count").fetchone()[0]
    unused: int = db.execute("PRAGMA freelist_count").fetchone()[0]
    return pages - unused <= _CHECKED_AT_ONCE


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
    except UnicodeDecodeError as error:
        db.close()
        # Python cannot read SQLite's message, which quotes damaged text.
        raise sqlite3.DatabaseError(f"damaged: {error}") from error
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


def _insert(target: sqlite3.Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    for values in rows:
        marks = ", ".join("?" * len(values))
        target.execute(f"INSERT INTO {table} VALUES ({marks})", values)


def set_last_row(db: sqlite3.Connection, last_row: int) -> None:
    """Make the row numbers of an empty store continue after ``last_row``."""
    db.execute("DELETE FROM sqlite_sequence")
    db.execute("INSERT INTO sqlite_sequence VALUES ('pending', ?)", (last_row,))


def check_whole(db: sqlite3.Connection) -> None:
    """Check the structure of a file with few rows.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """
    if db.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise sqlite3.DatabaseError("quick_check found damage")


def is_damage(error: sqlite3.Error, path: Path) -> bool:
    """Return whether the file's content is at fault, rather than the disk or our permissions.

    After a flipped bit SQLite may report anything: an unknown column, a wrong type, a syntax error.
    """
    # What healthd itself finds has no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_READONLY:
        return _claims_to_be_read_only(path)
    return code not in _DISK_CODES


def _claims_to_be_read_only(path: Path) -> bool:
    """Return whether the file says that only a newer SQLite may write it: no version does."""
    try:
        with path.open("r+b") as opened:
            return opened.read(19)[18:] not in (b"\x01", b"\x02", b"")
    except OSError:
        return False


_DISK_CODES = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_AUTH,
)


def is_full(error: sqlite3.Error) -> bool:
    """Return whether the quota is used up, or the disk is full."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
