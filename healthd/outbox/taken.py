"""Which records of which devices healthd has taken, noted next to the samples made of them.

The store notes a record in the transaction that commits its sample, and the sample is sent after
that. So whenever the process dies, a record is either known, and its sample stored or delivered, or
it is not known and is fetched again.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from healthd.outbox.schema import NOTE_RECORD
from healthd.outbox.store import Store
from healthd.samples import Record, Taken

_TYPES = (str, str, str, int, str)


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


def update_records(store: Store, updates: Iterable[RecordUpdate]) -> None:
    """Apply the updates in this order, in one transaction."""
    which = "peripheral = ? AND stream = ? AND series = ? AND number = ? AND made = ?"
    with store.transaction() as db:
        for peripheral, forgotten, complete in updates:
            rows = [(peripheral, stream, *record) for stream, record in forgotten]
            db.executemany(f"DELETE FROM records WHERE {which}", rows)
            noted = [
                (peripheral, stream, *record, whole) for (stream, record), whole in complete.items()
            ]
            db.executemany(NOTE_RECORD, noted)


def read_records(store: Store) -> dict[str, dict[Taken, bool]]:
    """Return the noted records by peripheral, each with whether all older ones were taken too.

    They are in the order in which they were noted.
    """
    found: dict[str, dict[Taken, bool]] = {}
    columns = "peripheral, stream, series, number, made, whole"
    # In the order in which they were noted: the oldest notes are the first to be forgotten.
    query = f"SELECT {columns} FROM records ORDER BY rowid"
    with store.transaction() as db:
        for peripheral, stream, *record, whole in db.execute(query):
            # What is damaged is fetched again.
            if tuple(map(type, (peripheral, stream, *record))) == _TYPES:
                found.setdefault(peripheral, {})[stream, Record(*record)] = bool(whole)
    return found
