"""The outbox on disk: one SQLite table, first in first out. Blocking; one thread owns it."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from healthd.log import get_logger

# One page of the file; SQLite's default, named because the quota is counted in pages.
_PAGE_BYTES = 4096

# Evicting by the few hundred keeps a full store writable for a while after each eviction.
_EVICT_ROWS = 256

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pending (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    peripheral TEXT NOT NULL,
    stream TEXT NOT NULL,
    schema TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT
"""


Entry = tuple[str, str, str, bytes]
"""What ``Stored`` holds, before it has a row: peripheral, stream, schema, payload."""


class Stored(NamedTuple):
    """A sample as it lies on disk.

    Attributes:
        row: position in the queue; grows for ever.
        peripheral: id of the peripheral.
        stream: topic below the peripheral's.
        schema: name and version of the payload's keys.
        payload: the JSON to publish.
    """

    row: int
    peripheral: str
    stream: str
    schema: str
    payload: bytes


class Store:
    """A queue on disk. Every write is one transaction, flushed before it returns."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open or create the file; one that is not a healthy database is set aside.

        Args:
            path: the database file; its folder is made if need be.
            max_bytes: quota; when it is reached the oldest samples go first.

        Raises:
            OSError: the folder cannot be made.
            sqlite3.OperationalError: the file cannot be opened or written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = get_logger(service="outbox")
        self.evicted = 0
        try:
            self._db = self._open(path, max_bytes)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            aside = path.with_suffix(f".corrupt-{time.time_ns()}")
            path.rename(aside)
            for leftover in ("-wal", "-shm"):
                Path(f"{path}{leftover}").unlink(missing_ok=True)
            self._log.error("outbox corrupt, set aside", kept_as=str(aside), error=str(error))
            self._db = self._open(path, max_bytes)

    def _open(self, path: Path, max_bytes: int) -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (
                f"page_size={_PAGE_BYTES}",
                "journal_mode=WAL",
                # FULL costs little where writing is rare, and a power cut costs nothing.
                "synchronous=FULL",
                f"max_page_count={max_bytes // _PAGE_BYTES}",
            ):
                db.execute(f"PRAGMA {pragma}")
            if db.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("quick_check failed")
            db.execute(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def append(self, samples: Iterable[Entry]) -> list[int]:
        """Commit samples in one transaction; their rows, in order."""
        batch = list(samples)
        while True:
            try:
                return self._insert(batch)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL or not self._evict():
                    raise

    def _insert(self, batch: Sequence[Entry]) -> list[int]:
        insert = "INSERT INTO pending (peripheral, stream, schema, payload) VALUES (?, ?, ?, ?)"
        rows: list[int] = []
        self._db.execute("BEGIN")
        try:
            for sample in batch:
                row = self._db.execute(insert, sample).lastrowid
                assert row is not None  # an INSERT into a rowid table always has one
                rows.append(row)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            # A full disk rolls back by itself, and then there is nothing left to roll back.
            with suppress(sqlite3.OperationalError):
                self._db.execute("ROLLBACK")
            raise
        return rows

    def _evict(self) -> int:
        oldest = "SELECT row FROM pending ORDER BY row LIMIT ?"
        delete = f"DELETE FROM pending WHERE row IN ({oldest})"
        count = self._db.execute(delete, (_EVICT_ROWS,)).rowcount
        self.evicted += count
        self._log.warning("outbox full, oldest evicted", count=count, total=self.evicted)
        return count

    def after(self, row: int, limit: int) -> list[Stored]:
        """The ``limit`` oldest samples behind ``row``."""
        columns = ", ".join(Stored._fields)
        query = f"SELECT {columns} FROM pending WHERE row > ? ORDER BY row LIMIT ?"
        return [Stored(*values) for values in self._db.execute(query, (row, limit))]

    def delete(self, rows: Iterable[int]) -> None:
        """Forget delivered samples, in one transaction."""
        self._db.execute("BEGIN")
        self._db.executemany("DELETE FROM pending WHERE row = ?", [(row,) for row in rows])
        self._db.execute("COMMIT")

    def count(self) -> int:
        """How many samples wait on disk."""
        count: int = self._db.execute("SELECT count(*) FROM pending").fetchone()[0]
        return count

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._db.close()
