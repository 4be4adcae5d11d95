"""The SQLite file of ``Store``: opens it, checks it, and sets it aside if it is damaged."""

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from healthd.errors import Fatal, FileUnavailable
from healthd.log import get_logger

_VERSION = 1

_SCHEMA = f"""
-- Ranges of the numbers of the samples that are in the sums.
CREATE TABLE seen (peripheral TEXT, stream TEXT, run TEXT, first INTEGER, last INTEGER,
    PRIMARY KEY (peripheral, stream, run, first)) WITHOUT ROWID;
-- Ranges of numbers between them that are missing, and since when.
CREATE TABLE holes (peripheral TEXT, stream TEXT, run TEXT, first INTEGER, last INTEGER,
    noticed REAL, logged INTEGER, PRIMARY KEY (peripheral, stream, run, first, last)) WITHOUT ROWID;
CREATE TABLE series (id INTEGER PRIMARY KEY, peripheral TEXT, stream TEXT, key TEXT, person TEXT,
    UNIQUE (peripheral, stream, key, person));
CREATE TABLE hours (series INTEGER, start INTEGER, count INTEGER, total REAL, least REAL, most REAL,
    PRIMARY KEY (series, start)) WITHOUT ROWID;
-- Where a series is imported: our own statistic id, or an entity's.
CREATE TABLE targets (id INTEGER PRIMARY KEY, name TEXT UNIQUE, series INTEGER, active INTEGER);
CREATE INDEX targets_of ON targets (series);
-- Hours that have changed since they were imported.
CREATE TABLE due (target INTEGER, start INTEGER, PRIMARY KEY (target, start)) WITHOUT ROWID;
-- What was sent for an hour: a row with these values is not Home Assistant's own.
CREATE TABLE sent (target INTEGER, start INTEGER, mean REAL, least REAL, most REAL,
    PRIMARY KEY (target, start, mean, least, most)) WITHOUT ROWID;
-- Names of the sessions that a broker was asked to keep.
CREATE TABLE sessions (name TEXT PRIMARY KEY);
PRAGMA user_version = {_VERSION};
"""


class Database:
    """The open file; one process at a time.

    Attributes:
        connection: for queries.
    """

    def __init__(self, file: Path) -> None:
        """Open the file, or create it.

        Raises:
            Fatal: another process uses it, or a newer version has written it.
            FileUnavailable: the disk refuses it.
        """
        self._file = file
        with self._translated_errors():
            try:
                self.connection = _open(file)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                _set_aside(file, error)
                self.connection = _open(file)

    @contextmanager
    def transaction(self, *, durable: bool) -> Generator[None]:
        """Commit what is done in the block, or nothing of it.

        Args:
            durable: whether it must survive a power cut, and not only a kill.

        Raises:
            FileUnavailable: the disk refuses it.
        """
        db = self.connection
        with self._translated_errors():
            # NORMAL: the last transactions before a power cut may be lost, and nothing else.
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated_errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise Fatal(
                    f"{self._file}: another healthd hass-backfill uses it; stop that one first"
                ) from error
            raise FileUnavailable(f"{self._file}: {error}") from error
        except (sqlite3.DatabaseError, OSError) as error:
            raise FileUnavailable(f"{self._file}: {error}") from error


def _set_aside(file: Path, error: Exception) -> None:
    """Rename a file that cannot be read. Hours that were imported stay as they are."""
    aside = file.with_name(f"{file.name}.damaged-{time.time_ns()}")
    file.rename(aside)
    for end in ("-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)
    log = get_logger(service="hass-backfill")
    log.error("file damaged", file=str(file), error=str(error), kept_as=str(aside))


def _open(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Sums of health values: for no other user.
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(file, isolation_level=None, timeout=0)
    try:
        # Held until the end of the process, however it ends.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise Fatal(f"{file}: a newer version of healthd has written it; install that version")
        (damage,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    except BaseException:
        db.close()
        raise
    return db
