"""The outbox on disk: a first-in, first-out SQLite table. Blocking; owned by one thread."""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import orjson

from healthd.events import OutboxChange
from healthd.outbox.claim import claim_step
from healthd.outbox.database import (
    PAGE_BYTES,
    closed_on_error,
    copy_tables,
    is_corrupt,
    is_full,
    open_database,
    remove_logs,
    rescue_rows,
    set_file_aside,
    set_last_row,
    transaction,
)
from healthd.outbox.eviction import is_nearly_full, make_room
from healthd.outbox.reading import read_oldest
from healthd.outbox.row_check import RowCheck
from healthd.outbox.schema import (
    ENTRY_COLUMNS,
    NOTE_NEW_RECORD,
    Depth,
    Entry,
    Lost,
    Stored,
    Stream,
)
from healthd.outbox.tally import totals
from healthd.outbox.version import OtherVersion, is_counted, upgrade

# The largest transaction: it has to fit into the claimed part of the log, and into a small quota.
_BATCH_ROWS = 250


class Store:
    """A queue on disk. Every write is one transaction, flushed before it returns.

    Attributes:
        path: the database file.
        set_aside: where an unusable file was moved; None if there was none.
        notice: what was wrong with it, and what was done; None if there was none.
        last_row: the highest row number that was ever used.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open or create the file; one that is damaged or of another version is set aside.

        Args:
            path: the database file; its folder is created if necessary.
            max_bytes: the quota; once it is reached, the oldest samples are evicted.

        Raises:
            OSError: the folder cannot be created.
            sqlite3.OperationalError: the file cannot be opened or written.
        """
        self.path = path
        self.set_aside: Path | None = None
        self.notice: tuple[OutboxChange, str] | None = None
        self._max_pages = max_bytes // PAGE_BYTES
        self._lost: list[Lost] = []
        self.last_row = 0
        self._run: tuple[str, int] | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = self._open_or_set_aside()
        self._inode = self.path.stat().st_ino
        known = self._db.execute("SELECT seq FROM sqlite_sequence").fetchone()
        self.last_row = known[0] if known else 0
        self._check = RowCheck(self._db, self.last_row)

    def _open_or_set_aside(self) -> sqlite3.Connection:
        try:
            return self._open()
        except OtherVersion as other:
            self.set_aside = set_file_aside(self.path, other.label)
            kept = f"its samples are kept in {self.set_aside.name}, new ones go to a new file"
            self.notice = ("other_version", f"{self.path.name}: {other}; {kept}")
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self.set_aside = set_file_aside(self.path)
            self.notice = ("corrupt", f"set aside as {self.set_aside.name}, started empty")
        return self._open()

    def _open(self) -> sqlite3.Connection:
        db = open_database(self.path, self._max_pages)
        with closed_on_error(db):
            while True:
                try:
                    upgrade(db)
                except sqlite3.OperationalError as error:
                    self._evict(db, error, ())
                else:
                    return db

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Commit everything that the block does, or nothing if it raises."""
        return transaction(self._db)

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
                self._evict(self._db, error, spare())
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
                (entry.peripheral, entry.stream, *entry.record)
                for entry in batch
                if entry.record is not None
            ]
            db.executemany(NOTE_NEW_RECORD, noted)
        self.last_row = rows[-1]
        return rows

    def _evict(
        self, db: sqlite3.Connection, error: sqlite3.OperationalError, spare: Collection[int]
    ) -> None:
        """Make room in a full file; raise any other error, and this one if nothing can go."""
        if not is_full(error) or (lost := make_room(db, spare)) is None:
            raise error
        self._lost += lost

    def keep_room(self, spare: Callable[[], Collection[int]] = tuple) -> None:
        """Evict some samples if the next few would find no room; see ``append``."""
        if is_nearly_full(self._db):
            self._lost += make_room(self._db, spare()) or ()

    def pop_lost(self) -> list[Lost]:
        """Return what was evicted since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def oldest(self, limit: int, skip: Collection[Stream] = (), after: int = 0) -> list[Stored]:
        """Return the oldest samples that follow row ``after``, without the streams in ``skip``."""
        return read_oldest(self._db, limit, skip, (after, self.last_row))

    def oldest_events(self, limit: int, skip: Collection[Stream]) -> list[Stored]:
        """Return the oldest events of the gateway, without the streams in ``skip``.

        None is returned from an older file until its rows are counted: all would have to be read.
        """
        if not is_counted(self._db):
            return []
        return read_oldest(self._db, limit, skip, (0, self.last_row), events=True)

    def record_outcomes(self, delivered: Iterable[int], parking: Mapping[str, str | None]) -> None:
        """Delete delivered rows, and note which topics the broker refuses.

        Args:
            delivered: rows to delete.
            parking: the broker's reason, by topic; None if it accepts the topic again.
        """
        rows = list(delivered)
        noted = [
            (topic, time.time_ns(), reason)
            for topic, reason in parking.items()
            if reason is not None
        ]
        for first in range(0, max(len(rows), 1), _BATCH_ROWS):
            with self.transaction() as db:
                # As a parameter: sqlite3 keeps the last 128 different statements in memory.
                batch = orjson.dumps(rows[first : first + _BATCH_ROWS]).decode()
                delete = "DELETE FROM pending WHERE row IN (SELECT value FROM json_each(?))"
                db.execute(delete, (batch,))
                if not first:
                    topics = [(topic,) for topic in parking]
                    db.executemany("DELETE FROM parked WHERE topic = ?", topics)
                    db.executemany("INSERT INTO parked VALUES (?, ?, ?)", noted)

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
        """Return how much is stored; it takes the same time however much that is.

        It is too low until the rows of an older file are counted, see ``check_step``.
        """
        oldest = self._db.execute("SELECT wall_ns FROM pending ORDER BY row LIMIT 1").fetchone()
        return Depth(*totals(self._db), oldest and oldest[0])

    def claim_space(self) -> bool:
        """Claim the next piece of the quota; return False once there is nothing to claim."""
        return claim_step(self._db, self.path, self._max_pages)

    def check_step(self) -> bool:
        """Check some of the rows of earlier runs; return False once all are checked.

        Raises:
            sqlite3.DatabaseError: the file is damaged.
        """
        return self._check.step()

    def is_deleted(self) -> bool:
        """Return whether another program has removed or replaced the file at the path."""
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def recreate(self) -> Path | None:
        """Create the file again, with the content of the deleted file, which is still open.

        Returns:
            Where a file was moved that another program had put there; None if there was none.

        Raises:
            sqlite3.Error, OSError: not possible now; the store goes on with the deleted file.
        """
        # The logs are those of the deleted file.
        remove_logs(self.path)
        replaced = set_file_aside(self.path, "replaced") if self.path.exists() else None
        self._replace(lambda made: copy_tables(self._db, made, self.last_row))
        return replaced

    def start_empty(self) -> None:
        """Set the damaged file aside and go on with an empty one.

        Samples that this run wrote to a file that was not checked yet are copied, as far as they
        can be read.
        """
        if self.path.exists():
            self.set_aside = set_file_aside(self.path)

        def fill(made: sqlite3.Connection) -> None:
            if not self._check.is_complete:
                rescue_rows(self._db, made, self._check.row_at_start)
            # Samples that wait for an acknowledgement still refer to their old row numbers.
            set_last_row(made, self.last_row)

        self._replace(fill)
        if self._run is not None:
            self.note_run(*self._run)

    def _replace(self, fill: Callable[[sqlite3.Connection], None]) -> None:
        """Go on with a new file that ``fill`` has filled from the old one."""
        try:
            made = self._open()
            with closed_on_error(made):
                fill(made)
        except (sqlite3.Error, OSError):
            self.path.unlink(missing_ok=True)
            remove_logs(self.path)
            raise
        old, self._db = self._db, made
        self._check = RowCheck(made, 0)
        self._inode = self.path.stat().st_ino
        with suppress(sqlite3.Error):
            old.close()

    def close(self) -> None:
        """Close the file; committed samples stay on disk."""
        self._db.close()
