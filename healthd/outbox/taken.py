"""Which records of which devices were taken, beside the samples that they became.

The store notes a record in the transaction that takes in its sample, and the sample is sent after
it. So whenever the process dies, a record is in the outbox, or delivered, and known; or neither,
and is asked for again.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from healthd.outbox.schema import NOTE_RECORD
from healthd.outbox.store import Store
from healthd.samples import Record, Taken


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


def settle_records(store: Store, settlements: Iterable[Settlement]) -> None:
    """Note what has changed, in this order, all of it or nothing."""
    which = "peripheral = ? AND stream = ? AND series = ? AND number = ? AND made = ?"
    with store.transaction() as db:
        for who, gone, whole in settlements:
            rows = [(who, stream, *record) for stream, record in gone]
            db.executemany(f"DELETE FROM records WHERE {which}", rows)
            news = [(who, stream, *record, end) for (stream, record), end in whole.items()]
            db.executemany(NOTE_RECORD, news)


def read_records(store: Store) -> dict[str, dict[Taken, bool]]:
    """What was noted, by peripheral."""
    found: dict[str, dict[Taken, bool]] = {}
    columns = "peripheral, stream, series, number, made, whole"
    with store.transaction() as db:
        for who, stream, *record, whole in db.execute(f"SELECT {columns} FROM records"):
            found.setdefault(who, {})[stream, Record(*record)] = bool(whole)
    return found
