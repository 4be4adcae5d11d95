"""Which records of which devices were taken: noted together with the samples that they became.

A sample of a record and the note of it are one transaction, and the sample is sent after it. So
whenever the process dies, a record is in the outbox, or delivered, and known; or neither, and is
asked for again.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from healthd.outbox.schema import Entry
from healthd.samples import Record

Taken = tuple[str, Record]
"""A stream's name, and a record of it."""


_NOTE = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)"


class Settlement(NamedTuple):
    """What changes of a peripheral's records without a sample.

    Attributes:
        peripheral: whose.
        gone: need not be known any more.
        whole: whether all that are older than these need not be asked for again.
    """

    peripheral: str
    gone: Collection[Taken]
    whole: Mapping[Taken, bool]


def note_records(db: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Note the records that these became; in the transaction that holds the entries."""
    records = [(one.peripheral, one.stream, one.record) for one in entries]
    news = [(*whose, *record, False) for *whose, record in records if record is not None]
    db.executemany(_NOTE, news)


def settle_record(db: sqlite3.Connection, settlement: Settlement) -> None:
    """Note what has changed."""
    which = "peripheral = ? AND stream = ? AND series = ? AND number = ? AND made = ?"
    who, gone, whole = settlement
    rows = [(who, stream, *record) for stream, record in gone]
    db.executemany(f"DELETE FROM records WHERE {which}", rows)
    news = [(who, stream, *record, end) for (stream, record), end in whole.items()]
    db.executemany(_NOTE, news)


def read_records(db: sqlite3.Connection) -> dict[str, dict[Taken, bool]]:
    """What was noted, by peripheral."""
    found: dict[str, dict[Taken, bool]] = {}
    columns = "peripheral, stream, series, number, made, whole"
    for who, stream, series, number, made, whole in db.execute(f"SELECT {columns} FROM records"):
        found.setdefault(who, {})[stream, Record(series, number, made)] = bool(whole)
    return found
