"""Which records of which devices healthd has taken, noted next to the samples made of them.

The store notes a record in the transaction that commits its sample, and the sample is sent after
that. So whenever the process dies, a record is either known, and its sample stored or delivered, or
it is not known and is fetched again.

Notes are not samples: nothing delivers them, so their number is bounded here. Of each stream the
newest ones are kept, and those of a peripheral that has left the settings for a season.
"""

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from healthd.outbox.schema import NOTE_RECORD
from healthd.outbox.store import Store
from healthd.samples import MOST_RECORDS, Record, Taken

_TYPES = (str, str, str, int, str)

# A meter that is put away for the winter, or an entry that is commented out for a while, continues
# where it was.
KEPT_DAYS = 180

# In place of the name of a stream, which has no space: the note of when a peripheral was missing
# in the settings for the first time, in days since 1970.
_MISSING = "missing since"


_OF_STREAM = "FROM records WHERE peripheral = ? AND stream = ?"

# How many notes that are too many are deleted together: a fraction of a second, on an SD card, too.
_MOST_AT_ONCE = 8192


class RecordUpdate(NamedTuple):
    """A change to the noted records of a peripheral that comes without a sample.

    Attributes:
        peripheral: id of the peripheral.
        forgotten: records that need not be known any more.
        complete: records to note; True if all older ones were taken too and need not be fetched.
    """

    peripheral: str
    forgotten: Collection[Taken]
    complete: Mapping[Taken, bool]

    @property
    def size(self) -> int:
        """How many records it is about, and one for itself."""
        return 1 + len(self.forgotten) + len(self.complete)


def update_records(store: Store, updates: Collection[RecordUpdate]) -> None:
    """Apply the updates in this order, in one transaction, and keep the notes bounded."""
    which = "peripheral = ? AND stream = ? AND series = ? AND number = ? AND made = ?"
    with store.transaction() as db:
        for peripheral, forgotten, complete in updates:
            rows = [(peripheral, stream, *record) for stream, record in forgotten]
            db.executemany(f"DELETE FROM records WHERE {which}", rows)
            noted = [
                (peripheral, stream, *record, whole) for (stream, record), whole in complete.items()
            ]
            db.executemany(NOTE_RECORD, noted)
        for peripheral in {update.peripheral for update in updates}:
            _trim(db, peripheral)


def forget_missing(store: Store, present: Collection[str], day: int) -> None:
    """Forget the records of peripherals that have not been in the settings for a long time.

    Of the others, the oldest ones are forgotten if an older version has noted too many.

    Args:
        store: has the notes.
        present: the peripherals in the settings.
        day: today, in days since 1970.
    """
    with store.transaction() as db:
        noted = [name for (name,) in db.execute("SELECT DISTINCT peripheral FROM records")]
        for peripheral in noted:
            _trim(db, peripheral)
            since = db.execute(f"SELECT number {_OF_STREAM}", (peripheral, _MISSING)).fetchone()
            if peripheral in present:
                db.execute(f"DELETE {_OF_STREAM}", (peripheral, _MISSING))
            elif since is None:
                db.execute(NOTE_RECORD, (peripheral, _MISSING, "", day, "", False))
            elif not isinstance(since[0], int) or not 0 <= day - since[0] <= KEPT_DAYS:
                db.execute("DELETE FROM records WHERE peripheral = ?", (peripheral,))


def read_records(store: Store) -> dict[str, dict[Taken, bool]]:
    """Return the noted records by peripheral, each with whether all older ones were taken too.

    They are in the order in which they were noted. What an older version has noted beyond the bound
    is not read.
    """
    rows: list[tuple[Any, ...]] = []
    with store.transaction() as db:
        pairs = db.execute("SELECT DISTINCT peripheral, stream FROM records").fetchall()
        for peripheral, stream in pairs:
            if stream != _MISSING:
                kept = f"rowid, series, number, made, whole {_OF_STREAM}"
                query = f"SELECT {kept} AND (rowid > ? OR rowid = ?)"
                bounds = _bounds(db, peripheral, stream)
                found = db.execute(query, (peripheral, stream, *bounds))
                rows += ((at, peripheral, stream, *rest) for at, *rest in found)
    # In the order in which they were noted: the oldest notes are the first to be forgotten.
    rows.sort(key=lambda row: row[0])
    noted: dict[str, dict[Taken, bool]] = {}
    for _, peripheral, stream, *record, whole in rows:
        # What is damaged is fetched again.
        if tuple(map(type, (peripheral, stream, *record))) == _TYPES:
            noted.setdefault(peripheral, {})[stream, Record(*record)] = bool(whole)
    return noted


def _trim(db: sqlite3.Connection, peripheral: str) -> None:
    """Forget the oldest records of each stream that has too many."""
    counts = db.execute(
        "SELECT stream, count(*) FROM records WHERE peripheral = ? GROUP BY stream", (peripheral,)
    )
    for stream, count in counts.fetchall():
        if count > MOST_RECORDS:
            gone = f"SELECT rowid {_OF_STREAM} AND rowid <= ? AND rowid != ? LIMIT ?"
            bounds = _bounds(db, peripheral, stream)
            limits = (peripheral, stream, *bounds, _MOST_AT_ONCE)
            db.execute(f"DELETE FROM records WHERE rowid IN ({gone})", limits)


def _bounds(db: sqlite3.Connection, peripheral: str, stream: str) -> tuple[int, int]:
    """Return the last row of a stream that is one too many, and its newest complete record.

    Without that record, the next transfer would begin at the first one again. Both are 0 if there
    is none.
    """
    # Backwards from the newest one, without sorting any.
    query = f"SELECT rowid {_OF_STREAM} ORDER BY rowid DESC LIMIT 1 OFFSET ?"
    last = db.execute(query, (peripheral, stream, MOST_RECORDS)).fetchone()
    query = f"SELECT max(rowid) {_OF_STREAM} AND whole"
    (whole,) = db.execute(query, (peripheral, stream)).fetchone()
    return last[0] if last else 0, whole or 0
