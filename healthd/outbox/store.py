"""The outbox on disk: a first-in, first-out SQLite table. Blocking; owned by one thread."""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from healthd.events import OutboxChange
from healthd.host.private import make_folder
from healthd.outbox.checksum import checksum, is_storable
from healthd.outbox.claim import claim_step
from healthd.outbox.clearing import clear, delete_rows
from healthd.outbox.database import (
    PAGE_BYTES,
    closed_on_error,
    copy_tables,
    is_damage,
    is_full,
    open_database,
    set_last_row,
    transaction,
)
from healthd.outbox.eviction import is_nearly_full, make_room
from healthd.outbox.healing import LABEL, Healing
from healthd.outbox.reading import Damaged, read_oldest
from healthd.outbox.report import Report
from healthd.outbox.reserve import create_reserved
from healthd.outbox.row_check import RowCheck, check_block
from healthd.outbox.schema import (
    BLOCK_ROWS,
    INSERT,
    NOTE_NEW_RECORD,
    Depth,
    Entry,
    Lost,
    Stored,
    Stream,
)
from healthd.outbox.set_aside import remove_logs, reunite_log, set_file_aside
from healthd.outbox.tally import totals
from healthd.outbox.version import OtherVersion, forget_tally, is_counted, upgrade

# The largest transaction: it has to fit into the claimed part of the log, and into a small quota.
_BATCH_ROWS = 250

# Row numbers stay far from the end of SQLite's integers, even after a damaged one.
_MOST_ROWS = 1 << 60

# What Python and SQLite raise for a value that does not fit into its column.
_REFUSALS = (
    OverflowError,
    TypeError,
    UnicodeEncodeError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


class Store:
    """A queue on disk. Every write is one transaction, flushed before it returns.

    Attributes:
        path: the database file.
        set_aside: where an unusable file was moved; None if there was none.
        notice: what was wrong with it, and what was done; None if there was none.
        last_row: the highest row number that was ever used.
        is_new: whether there was no file, or an empty one.
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
        self.report = Report(path)
        self._max_pages = max_bytes // PAGE_BYTES
        self._lost: list[Lost] = []
        self.last_row = 0
        self._run: tuple[str, int] | None = None
        make_folder(path.parent)
        # A power cut may leave a file empty that had been written; healthd itself does not.
        was_emptied = path.exists() and not path.stat().st_size
        self.is_new = was_emptied or not path.exists()
        reunite_log(path, LABEL)
        try:
            self._use(self._open())
        except OtherVersion as other:
            self.set_aside = set_file_aside(self.path, other.label)
            kept = f"its samples are kept in {self.set_aside.name}, new ones go to a new file"
            self.notice = ("other_version", f"{self.path.name}: {other}; {kept}")
            self._use(self._open())
        except sqlite3.DatabaseError as error:
            if not is_damage(error, path):
                self._remove_empty()
                raise
            self.notice = ("corrupt", self._set_damaged_aside(error))
            self._use(self._open())
        if was_emptied and self.notice is None:
            self.notice = ("corrupt", f"{path.name} was empty; what it held is lost")

    def _remove_empty(self) -> None:
        """Leave no empty file behind when a full disk takes the file, and nothing in it."""
        with suppress(OSError):
            if self.is_new and not self.path.stat().st_size:
                self.path.unlink()

    def _set_damaged_aside(self, error: Exception) -> str:
        self.set_aside = set_file_aside(self.path, LABEL)
        return f"{error}; set aside as {self.set_aside.name}; what is intact in it is copied"

    def _open(self) -> sqlite3.Connection:
        create_reserved(self.path, self._max_pages)
        db = open_database(self.path, self._max_pages)
        with closed_on_error(db):
            while True:
                try:
                    upgrade(db)
                except sqlite3.OperationalError as error:
                    self._evict(db, error, ())
                else:
                    return db

    def _use(self, db: sqlite3.Connection) -> None:
        """Go on with this file, after checking it if that is quick."""
        with closed_on_error(db):
            self.last_row = max(self.last_row, _last_row(db))
            check = RowCheck(db, self.last_row, self.report)
            check.at_once()
            healing = Healing(self.path, db, self.last_row, self.report)
            healing.at_once()
        self._db, self._check, self._healing = db, check, healing
        self.last_row = self._noted_row = healing.last_row
        self._inode = self.path.stat().st_ino

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
        """Commit samples in one transaction; what cannot be stored is set aside and reported.

        Raises:
            sqlite3.DatabaseError: SQLite refuses samples that have nothing wrong.
        """
        rows = list(range(self.last_row + 1, self.last_row + 1 + len(batch)))
        numbered = list(zip(rows, batch, strict=True))
        try:
            self._write(numbered)
        except _REFUSALS as error:
            refused = [(row, entry) for row, entry in numbered if not is_storable(entry)]
            if not refused:
                raise sqlite3.IntegrityError(str(error)) from error
            self._write([each for each in numbered if is_storable(each[1])])
            lost = [_as_lost(entry) for _, entry in refused]
            self.report.set_aside("not_storable", [(row, *entry) for row, entry in refused], lost)
        self.last_row = max([self.last_row, *rows])
        return rows

    def _write(self, numbered: Sequence[tuple[int, Entry]]) -> None:
        rows = [(row, *entry[:-1], checksum(row, entry)) for row, entry in numbered]
        noted = [
            (entry.peripheral, entry.stream, *entry.record)
            for _, entry in numbered
            if entry.record is not None
        ]
        last = max((row for row, _ in numbered), default=0)
        # SQLite would note the number of each new row in a page of its own: an eighth of what an
        # outage writes. Numbers may have holes, so it is noted once for many rows.
        ahead = self._noted_row if last <= self._noted_row else last + BLOCK_ROWS
        with self.transaction() as db:
            if ahead != self._noted_row:
                set_last_row(db, ahead)
            db.executemany(INSERT, rows)
            db.executemany(NOTE_NEW_RECORD, noted)
        self._noted_row = ahead

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

    @property
    def read_to(self) -> int:
        """The last row that ``oldest`` reads now."""
        return self._healing.read_to(self.last_row)

    def oldest(self, limit: int, skip: Collection[Stream] = (), after: int = 0) -> list[Stored]:
        """Return the oldest samples that follow row ``after``, without the streams in ``skip``.

        Damaged ones are removed and reported.
        """
        return self._read_intact(lambda: read_oldest(self._db, limit, skip, (after, self.read_to)))

    def oldest_events(self, limit: int, skip: Collection[Stream]) -> list[Stored]:
        """Return the oldest events of the gateway, without the streams in ``skip``.

        None is returned from an older file until its rows are counted: all would have to be read.
        """
        if not is_counted(self._db):
            return []
        between = (0, self.last_row)
        return self._read_intact(lambda: read_oldest(self._db, limit, skip, between, events=True))

    def _read_intact(self, read: Callable[[], list[Stored]]) -> list[Stored]:
        while True:
            try:
                return read()
            except Damaged as damaged:
                # It removes at least this row, so the loop ends.
                check_block(self._db, damaged.row // BLOCK_ROWS, {}, self.report)

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
        with self.transaction() as db:
            topics = [(topic,) for topic in parking]
            db.executemany("DELETE FROM parked WHERE topic = ?", topics)
            db.executemany("INSERT INTO parked VALUES (?, ?, ?)", noted)
            if is_counted(db) and clear(db, frozenset(rows)):
                return
            delete_rows(db, rows[:_BATCH_ROWS])
        for first in range(_BATCH_ROWS, len(rows), _BATCH_ROWS):
            with self.transaction() as db:
                delete_rows(db, rows[first : first + _BATCH_ROWS])

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
        oldest_ns = oldest[0] if oldest and isinstance(oldest[0], int) else None
        return Depth(*totals(self._db), oldest_ns)

    def claim_space(self) -> bool:
        """Claim the next piece of the quota; return False once there is nothing to claim."""
        return claim_step(self._db, self.path, self._max_pages)

    def check_step(self) -> bool:
        """Check some rows of earlier runs, or copy some of a damaged file; False once all is done.

        Raises:
            sqlite3.DatabaseError: the file is damaged.
        """
        try:
            copying = self._healing.step()
        except sqlite3.OperationalError as error:
            self._evict(self._db, error, ())
            copying = True
        return self._check.step() or copying

    def recount(self) -> None:
        """Have all rows counted again: the tally is damaged.

        Raises:
            sqlite3.DatabaseError: not even that is possible.
        """
        with self.transaction() as db:
            forget_tally(db)
        self._check = RowCheck(self._db, self.last_row, self.report)

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

    def start_over(self, error: Exception) -> str:
        """Set the damaged file aside, and go on with a new one to which its rows are copied.

        Returns:
            What was wrong, and where the file is.
        """
        self._healing.close()
        detail = self._set_damaged_aside(error)
        # Samples that wait for an acknowledgement still refer to their old row numbers.
        self._replace(lambda made: set_last_row(made, self.last_row))
        if self._run is not None:
            self.note_run(*self._run)
        return detail

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
        old = self._db
        self._use(made)
        with suppress(sqlite3.Error):
            old.close()

    def close(self) -> None:
        """Close the file; committed samples stay on disk."""
        self._healing.close()
        self._db.close()


def _as_lost(entry: Entry) -> Lost:
    place = (entry.seq, entry.seq, entry.wall_ns, entry.wall_ns)
    return Lost(entry.peripheral, entry.stream, entry.run, *place, count=1)


def _last_row(db: sqlite3.Connection) -> int:
    """Return the highest row number that was ever used."""
    known = [
        *db.execute("SELECT seq FROM sqlite_sequence").fetchall(),
        *db.execute("SELECT max(row) FROM pending").fetchall(),
    ]
    numbers = [row for (row,) in known if isinstance(row, int) and 0 < row < _MOST_ROWS]
    return max(numbers, default=0)
