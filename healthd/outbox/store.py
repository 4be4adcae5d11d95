"""The outbox on disk: a first-in, first-out SQLite table. Blocking; owned by one thread."""

import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from healthd.outbox.claim import claim_step, drop_filler
from healthd.outbox.database import (
    PAGE_BYTES,
    closed_on_error,
    copy_tables,
    is_corrupt,
    open_database,
    remove_logs,
    set_file_aside,
    set_last_row,
)
from healthd.outbox.schema import ENTRY_COLUMNS, NOTE_RECORD, Depth, Entry, Lost, Stored, Stream
from healthd.outbox.tally import RETURNING_SIZES, Tally

# Evicting a few hundred rows at once keeps a full store writable for a while.
_EVICT_ROWS = 256

# The largest transaction: it has to fit into the claimed part of the log, and into a small quota.
_BATCH_ROWS = 250


class Store:
    """A queue on disk. Every write is one transaction, flushed before it returns.

    Attributes:
        path: the database file.
        set_aside: where an unusable file was moved; None if there was none.
        last_row: the highest row number that was ever used.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open or create the file; a file that is not an intact database is set aside.

        Args:
            path: the database file; its folder is created if necessary.
            max_bytes: the quota; once it is reached, the oldest samples are evicted.

        Raises:
            OSError: the folder cannot be created.
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
            self.set_aside = set_file_aside(path)
            self._db = self._open()
        self._inode = self.path.stat().st_ino
        self._tally = Tally(self._db)
        known = self._db.execute("SELECT seq FROM sqlite_sequence").fetchone()
        self.last_row = known[0] if known else 0

    def _open(self) -> sqlite3.Connection:
        return open_database(self.path, self._max_pages)

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Commit everything that the block does, or nothing if it raises."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            # On a full disk SQLite has already rolled back, and a second rollback fails.
            with suppress(sqlite3.OperationalError):
                self._db.execute("ROLLBACK")
            raise

    @property
    def writes(self) -> int:
        """A number that changes whenever data is written."""
        return self._db.total_changes

    def append(
        self, entries: Iterable[Entry], spare: Callable[[], Collection[int]] = tuple
    ) -> list[int]:
        """Commit samples, ``_BATCH_ROWS`` per transaction; return their rows, in order.

        Args:
            entries: the samples.
            spare: called when the store is full; returns the rows that must not be evicted.
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
                assert cursor.lastrowid is not None  # always set after an INSERT
                rows.append(cursor.lastrowid)
            noted = [
                (entry.peripheral, entry.stream, *entry.record, False)
                for entry in batch
                if entry.record is not None
            ]
            db.executemany(NOTE_RECORD, noted)
        self.last_row = rows[-1]
        self._tally.add((entry.peripheral, entry.stream, len(entry.payload)) for entry in batch)
        return rows

    def _make_room(self, spare: Collection[int]) -> bool:
        """Delete what is least valuable; return False if nothing can be deleted."""
        if drop_filler(self._db):
            return True
        # Samples before events: the events report what is lost.
        for kind in ("NOT LIKE", "LIKE"):
            evictable = f"stream {kind} 'event/%' AND row NOT IN ({', '.join(map(str, spare))})"
            oldest = f"SELECT row FROM pending WHERE {evictable} ORDER BY row LIMIT ?"
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

    def pop_lost(self) -> list[Lost]:
        """Return what was evicted since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def oldest(self, limit: int, skip: Collection[Stream] = (), after: int = 0) -> list[Stored]:
        """Return the oldest samples that follow row ``after``, without the streams in ``skip``."""
        columns = ", ".join(Stored._fields)
        wanted = "".join(" AND NOT (peripheral = ? AND stream = ?)" for _ in skip)
        query = f"SELECT {columns} FROM pending WHERE row > ?{wanted} ORDER BY row LIMIT ?"
        values = [text for stream in skip for text in stream]
        found = self._db.execute(query, (after, *values, limit))
        return [Stored(*values) for values in found]

    def record_outcomes(self, delivered: Iterable[int], parking: Mapping[str, str | None]) -> None:
        """Delete delivered rows, and note which topics the broker refuses.

        Args:
            delivered: rows to delete.
            parking: the broker's reason, by topic; None if it accepts the topic again.
        """
        rows = [str(row) for row in delivered]
        noted = [
            (topic, time.time_ns(), reason)
            for topic, reason in parking.items()
            if reason is not None
        ]
        for first in range(0, max(len(rows), 1), _BATCH_ROWS):
            with self.transaction() as db:
                batch = ", ".join(rows[first : first + _BATCH_ROWS])
                delete = f"DELETE FROM pending WHERE row IN ({batch}) {RETURNING_SIZES}"
                gone = db.execute(delete).fetchall()
                if not first:
                    topics = [(topic,) for topic in parking]
                    db.executemany("DELETE FROM parked WHERE topic = ?", topics)
                    db.executemany("INSERT INTO parked VALUES (?, ?, ?)", noted)
            self._tally.remove(gone)

    def note_run(self, run: str, started_ns: int) -> None:
        """Note the current run in this file, and in every file that may have to replace it."""
        self._run = (run, started_ns)
        self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, FALSE)", self._run)

    def probe(self) -> None:
        """Rewrite what is already stored, to find out whether the disk can be written.

        Raises:
            sqlite3.OperationalError: it cannot.
        """
        if self._run is not None:
            self.note_run(*self._run)

    def depth(self) -> Depth:
        """Return how much is stored; takes the same short time however much that is."""
        oldest = self._db.execute("SELECT wall_ns FROM pending ORDER BY row LIMIT 1").fetchone()
        return Depth(dict(self._tally.counts), self._tally.payload_bytes, oldest and oldest[0])

    def claim_space(self) -> bool:
        """Claim the next piece of the quota; return False once there is nothing to claim."""
        return claim_step(self._db, self.path, self._max_pages)

    def is_deleted(self) -> bool:
        """Return whether another program has removed or replaced the file at the path."""
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def recreate(self) -> None:
        """Create the file again, with the content of the deleted file, which is still open.

        Raises:
            sqlite3.Error, OSError: not possible now; the store goes on with the deleted file.
        """
        if self.path.exists():
            # Another program put it there.
            self.set_aside = set_file_aside(self.path)
        remove_logs(self.path)
        try:
            made = self._open()
            with closed_on_error(made):
                copy_tables(self._db, made, self.last_row)
        except (sqlite3.Error, OSError):
            self.path.unlink(missing_ok=True)
            remove_logs(self.path)
            raise
        self._switch_to(made)

    def start_empty(self) -> None:
        """Set the damaged file aside and go on with an empty one."""
        self.set_aside = set_file_aside(self.path)
        made = self._open()
        # Samples that wait for an acknowledgement still refer to their old row numbers.
        set_last_row(made, self.last_row)
        self._switch_to(made)
        if self._run is not None:
            self.note_run(*self._run)

    def _switch_to(self, made: sqlite3.Connection) -> None:
        old, self._db = self._db, made
        self._tally = Tally(made)
        self._inode = self.path.stat().st_ino
        with suppress(sqlite3.Error):
            old.close()

    def close(self) -> None:
        """Close the file; committed samples stay on disk."""
        self._db.close()
