"""The outbox on disk: one SQLite table, first in first out. Blocking; one thread owns it."""

import sqlite3
import sys
import time
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from healthd.outbox.schema import PRAGMAS, TABLES, Entry, Lost, Stored, StreamStats

# SQLite's default, named because the quota is counted in pages.
_PAGE_BYTES = 4096

# Evicting by the few hundred keeps a full store writable for a while after each eviction.
_EVICT_ROWS = 256

# One step of claiming the quota: as much as the write-ahead log takes before it is checkpointed.
_GROW_PAGES = 256

# Pages that the tables themselves may need while the filler takes all the others.
_SPARE_PAGES = 16


class Store:
    """A queue on disk. Every write is one transaction, flushed before it returns.

    Attributes:
        path: the database file.
        set_aside: where an unusable file was moved when the store was opened, or None.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open or create the file; one that is no healthy database is set aside.

        Args:
            path: the database file; its folder is made if need be.
            max_bytes: quota; when it is reached the oldest samples go first.

        Raises:
            OSError: the folder cannot be made.
            sqlite3.OperationalError: the file cannot be opened or written.
        """
        self.path = path
        self.set_aside: Path | None = None
        self._max_pages = max_bytes // _PAGE_BYTES
        self._lost: list[Lost] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self._put_aside()
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (f"page_size={_PAGE_BYTES}", *PRAGMAS):
                db.execute(f"PRAGMA {pragma}")
            db.execute(f"PRAGMA max_page_count={self._max_pages}")
            if sys.version_info >= (3, 12):
                # Keep the log when the last connection closes: a full disk could not make it anew.
                db.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
            if db.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("quick_check found damage")
            db.executescript(TABLES)
        except BaseException:
            db.close()
            raise
        self._inode = self.path.stat().st_ino
        return db

    def _put_aside(self) -> None:
        self.set_aside = self.path.with_suffix(f".corrupt-{time.time_ns()}")
        with suppress(FileNotFoundError):
            self.path.rename(self.set_aside)
        self._remove_logs()

    def _remove_logs(self) -> None:
        # A log without its database would be replayed into the next one.
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Commit what the block does, or nothing of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            # A full disk rolls back by itself, and then there is nothing left to roll back.
            with suppress(sqlite3.OperationalError):
                self._db.execute("ROLLBACK")
            raise

    def append(self, entries: Iterable[Entry]) -> list[int]:
        """Commit samples in one transaction; their rows, in order."""
        batch = list(entries)
        while True:
            try:
                return self._insert(batch)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL or not self._make_room():
                    raise

    def _insert(self, batch: Sequence[Entry]) -> list[int]:
        columns = ", ".join(Entry._fields)
        marks = ", ".join("?" * len(Entry._fields))
        rows: list[int] = []
        with self.transaction() as db:
            for entry in batch:
                cursor = db.execute(f"INSERT INTO pending ({columns}) VALUES ({marks})", entry)
                assert cursor.lastrowid is not None  # an INSERT always has one
                rows.append(cursor.lastrowid)
        return rows

    def _make_room(self) -> bool:
        """Give up what can be given up, the least valuable first; False when nothing is left."""
        if self._drop_filler():
            return True
        # Samples before events: what is lost must remain known.
        for kind in ("NOT LIKE", "LIKE"):
            oldest = f"SELECT row FROM pending WHERE stream {kind} 'event/%' ORDER BY row LIMIT ?"
            columns = "peripheral, stream, run, min(seq), max(seq), min(wall_ns), max(wall_ns)"
            summary = f"SELECT {columns}, count(*) FROM pending WHERE row IN ({oldest})"
            with self.transaction() as db:
                lost = db.execute(f"{summary} GROUP BY 1, 2, 3", (_EVICT_ROWS,)).fetchall()
                db.execute(f"DELETE FROM pending WHERE row IN ({oldest})", (_EVICT_ROWS,))
            if lost:
                self._lost += [Lost(*values) for values in lost]
                return True
        return False

    def take_lost(self) -> list[Lost]:
        """What was evicted since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def oldest(self, limit: int, skip: Collection[tuple[str, str]] = ()) -> list[Stored]:
        """The oldest samples of all streams but those of ``skip`` (peripheral, stream)."""
        columns = ", ".join(Stored._fields)
        wanted = "".join(" AND NOT (peripheral = ? AND stream = ?)" for _ in skip)
        query = f"SELECT {columns} FROM pending WHERE TRUE{wanted} ORDER BY row LIMIT ?"
        values = [text for stream in skip for text in stream]
        return [Stored(*found) for found in self._db.execute(query, (*values, limit))]

    def tidy(self, delivered: Iterable[int], parking: Mapping[str, str | None]) -> None:
        """Forget delivered rows and note which topics the broker refuses, in one transaction.

        Args:
            delivered: rows.
            parking: by topic the broker's reason; None for one that it takes again.
        """
        with self.transaction() as db:
            db.executemany("DELETE FROM pending WHERE row = ?", [(row,) for row in delivered])
            for topic, reason in parking.items():
                db.execute("DELETE FROM parked WHERE topic = ?", (topic,))
                if reason is not None:
                    db.execute(
                        "INSERT INTO parked VALUES (?, ?, ?)", (topic, time.time_ns(), reason)
                    )

    def stats(self) -> list[StreamStats]:
        """What waits, by stream."""
        return read_stats(self._db)

    def grow(self) -> bool:
        """Claim the next piece of the quota from the disk; False once there is nothing to claim.

        A full disk cannot stop a store that already has its space: not even a DELETE works in a
        file that would have to grow.
        """
        pages: int = self._db.execute("PRAGMA page_count").fetchone()[0]
        missing = self._max_pages - _SPARE_PAGES - pages
        if missing > 0:
            try:
                with self.transaction() as db:
                    db.execute("CREATE TABLE IF NOT EXISTS filler (blank BLOB)")
                    blank = min(missing, _GROW_PAGES) * _PAGE_BYTES
                    db.execute("INSERT INTO filler VALUES (zeroblob(?))", (blank,))
            except sqlite3.OperationalError as error:
                # The disk has less than the quota: what it gave is claimed, the rest is not there.
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
            else:
                return True
        if self._drop_filler():
            # The log keeps the size that it has: its space is claimed as well.
            self._db.execute("PRAGMA wal_checkpoint(RESTART)")
        return False

    def _drop_filler(self) -> bool:
        there = "SELECT 1 FROM sqlite_schema WHERE name = 'filler'"
        if self._db.execute(there).fetchone() is None:
            return False
        self._db.execute("DROP TABLE filler")
        return True

    def is_deleted(self) -> bool:
        """True when the file at the path is no longer ours: somebody removed or replaced it."""
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def restore(self) -> None:
        """Make the file anew and copy what the deleted one, still open, holds."""
        old = self._db
        self._remove_logs()
        self._db = self._open()
        with self.transaction() as db:
            for table in ("pending", "runs", "ends", "parked"):
                for values in old.execute(f"SELECT * FROM {table}"):
                    marks = ", ".join("?" * len(values))
                    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)
        old.close()

    def start_anew(self) -> None:
        """Set a file aside that turned out to be damaged, and go on with an empty one."""
        with suppress(sqlite3.Error):
            self._db.close()
        self._put_aside()
        self._db = self._open()

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._db.close()


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file's content is at fault, rather than the disk or our rights."""
    # Errors of our own making (quick_check) carry no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    # The low byte is the primary code; the rest says where the damage was met.
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def read_stats(db: sqlite3.Connection) -> list[StreamStats]:
    """What waits in a store, by stream."""
    columns = "peripheral, stream, count(*), min(wall_ns), sum(length(payload))"
    query = f"SELECT {columns} FROM pending GROUP BY peripheral, stream"
    return [StreamStats(*values) for values in db.execute(query)]
