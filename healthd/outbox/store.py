"""The outbox on disk: one SQLite table, first in first out. Blocking; one thread owns it."""

import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from healthd.outbox.claim import claim_step, drop_filler
from healthd.outbox.database import (
    PAGE_BYTES,
    closed_on_error,
    copy,
    count_on,
    is_corrupt,
    open_database,
    put_aside,
    remove_logs,
)
from healthd.outbox.schema import ENTRY_COLUMNS, NOTE_RECORD, Depth, Entry, Lost, Stored
from healthd.outbox.tally import RETURNING_SIZES, Tally

# Evicting by the few hundred keeps a full store writable for a while after each eviction.
_EVICT_ROWS = 256

# The largest transaction: it has to fit into what is claimed of the log, and into a small quota.
_BATCH_ROWS = 250


class Store:
    """A queue on disk. Every write is one transaction, flushed before it returns.

    Attributes:
        path: the database file.
        set_aside: where an unusable file was moved when the store was opened, or None.
        last_row: the highest row number that was ever given.
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
        self._max_pages = max_bytes // PAGE_BYTES
        self._lost: list[Lost] = []
        self.last_row = 0
        self._run: tuple[str, int] | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self.set_aside = put_aside(path)
            self._db = self._open()
        self._inode = self.path.stat().st_ino
        self._tally = Tally(self._db)
        known = self._db.execute("SELECT seq FROM sqlite_sequence").fetchone()
        self.last_row = known[0] if known else 0

    def _open(self) -> sqlite3.Connection:
        return open_database(self.path, self._max_pages)

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

    @property
    def writes(self) -> int:
        """A number that changes with every change of the data."""
        return self._db.total_changes

    def append(
        self, entries: Iterable[Entry], spare: Callable[[], Collection[int]] = tuple
    ) -> list[int]:
        """Commit samples, in transactions of ``_BATCH_ROWS``; their rows, in order.

        Args:
            entries: the samples.
            spare: asked when the store is full: rows not to evict, as they are on their way.
        """
        rows: list[int] = []
        remaining = list(entries)
        while remaining:
            batch = remaining[:_BATCH_ROWS]
            try:
                rows += self._insert(batch)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL or not self._make_room(spare()):
                    raise
            else:
                del remaining[:_BATCH_ROWS]
        return rows

    def _insert(self, batch: Sequence[Entry]) -> list[int]:
        columns = ", ".join(ENTRY_COLUMNS)
        marks = ", ".join("?" * len(ENTRY_COLUMNS))
        insert = f"INSERT INTO pending ({columns}) VALUES ({marks})"
        rows: list[int] = []
        with self.transaction() as db:
            for entry in batch:
                cursor = db.execute(insert, entry[:-1])
                assert cursor.lastrowid is not None  # an INSERT always has one
                rows.append(cursor.lastrowid)
            records = [(one.peripheral, one.stream, one.record) for one in batch]
            noted = [(*whose, *record, False) for *whose, record in records if record is not None]
            db.executemany(NOTE_RECORD, noted)
        self.last_row = rows[-1]
        self._tally.add((one.peripheral, one.stream, len(one.payload)) for one in batch)
        return rows

    def _make_room(self, spare: Collection[int]) -> bool:
        """Give up what can be given up, the least valuable first; False when nothing is left."""
        if drop_filler(self._db):
            return True
        # Samples before events: what is lost must remain known.
        for kind in ("NOT LIKE", "LIKE"):
            fitting = f"stream {kind} 'event/%' AND row NOT IN ({', '.join(map(str, spare))})"
            oldest = f"SELECT row FROM pending WHERE {fitting} ORDER BY row LIMIT ?"
            columns = "peripheral, stream, run, min(seq), max(seq), min(wall_ns), max(wall_ns)"
            summary = f"SELECT {columns}, count(*) FROM pending WHERE row IN ({oldest})"
            with self.transaction() as db:
                lost = db.execute(f"{summary} GROUP BY 1, 2, 3", (_EVICT_ROWS,)).fetchall()
                delete = f"DELETE FROM pending WHERE row IN ({oldest}) {RETURNING_SIZES}"
                gone = db.execute(delete, (_EVICT_ROWS,)).fetchall()
            self._tally.remove(gone)
            if lost:
                self._lost += [Lost(*values) for values in lost]
                return True
        return False

    def take_lost(self) -> list[Lost]:
        """What was evicted since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def oldest(
        self, limit: int, skip: Collection[tuple[str, str]] = (), after: int = 0
    ) -> list[Stored]:
        """The oldest samples behind row ``after``, without the streams of ``skip``."""
        columns = ", ".join(Stored._fields)
        wanted = "".join(" AND NOT (peripheral = ? AND stream = ?)" for _ in skip)
        query = f"SELECT {columns} FROM pending WHERE row > ?{wanted} ORDER BY row LIMIT ?"
        values = [text for stream in skip for text in stream]
        found = self._db.execute(query, (after, *values, limit))
        return [Stored(*one) for one in found]

    def tidy(self, delivered: Iterable[int], parking: Mapping[str, str | None]) -> None:
        """Forget delivered rows and note which topics the broker refuses, both or neither.

        Args:
            delivered: rows.
            parking: by topic the broker's reason; None for one that it takes again.
        """
        rows = [str(row) for row in delivered]
        noted = [(one, time.time_ns(), why) for one, why in parking.items() if why is not None]
        for first in range(0, max(len(rows), 1), _BATCH_ROWS):
            with self.transaction() as db:
                batch = ", ".join(rows[first : first + _BATCH_ROWS])
                delete = f"DELETE FROM pending WHERE row IN ({batch}) {RETURNING_SIZES}"
                gone = db.execute(delete).fetchall()
                if not first:
                    db.executemany(
                        "DELETE FROM parked WHERE topic = ?", [(one,) for one in parking]
                    )
                    db.executemany("INSERT INTO parked VALUES (?, ?, ?)", noted)
            self._tally.remove(gone)

    def note_run(self, run: str, started_ns: int) -> None:
        """Keep the current run in this file, and in every one that may have to replace it."""
        self._run = (run, started_ns)
        self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, FALSE)", self._run)

    def probe(self) -> None:
        """Write something that changes nothing, to see whether the disk takes it.

        Raises:
            sqlite3.OperationalError: it does not.
        """
        if self._run is not None:
            self.note_run(*self._run)

    def depth(self) -> Depth:
        """What waits; costs nothing, however much that is."""
        oldest = self._db.execute("SELECT wall_ns FROM pending ORDER BY row LIMIT 1").fetchone()
        return Depth(dict(self._tally.counts), self._tally.payload_bytes, oldest and oldest[0])

    def grow(self) -> bool:
        """Claim the next piece of the quota from the disk; False once there is nothing to claim."""
        return claim_step(self._db, self.path, self._max_pages)

    def is_deleted(self) -> bool:
        """True when the file at the path is no longer ours: somebody removed or replaced it."""
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def restore(self) -> None:
        """Make the file anew and copy what the deleted one, still open, holds.

        Raises:
            sqlite3.Error, OSError: not possible now; the deleted file goes on as it is.
        """
        if self.path.exists():
            self.set_aside = put_aside(self.path)  # whatever somebody put there, it is not ours
        remove_logs(self.path)
        try:
            made = self._open()
            with closed_on_error(made):
                copy(self._db, made, self.last_row)
        except (sqlite3.Error, OSError):
            self.path.unlink(missing_ok=True)
            remove_logs(self.path)
            raise
        self._adopt(made)

    def start_anew(self) -> None:
        """Set a file aside that turned out to be damaged, and go on with an empty one."""
        self.set_aside = put_aside(self.path)
        made = self._open()
        # Old numbers are still known to those who wait for an acknowledgement.
        count_on(made, self.last_row)
        self._adopt(made)
        if self._run is not None:
            self.note_run(*self._run)

    def _adopt(self, made: sqlite3.Connection) -> None:
        old, self._db = self._db, made
        self._tally = Tally(made)
        self._inode = self.path.stat().st_ino
        with suppress(sqlite3.Error):
            old.close()

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._db.close()
