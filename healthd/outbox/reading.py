"""Reads the oldest samples, past those of streams that are skipped; only intact ones."""

import sqlite3
from collections.abc import Collection

from healthd.outbox.checksum import is_intact
from healthd.outbox.schema import Stored, Stream
from healthd.outbox.tally import blocks_with
from healthd.outbox.version import is_counted


class Damaged(Exception):
    """A row is not what was written.

    Attributes:
        row: its number.
    """

    def __init__(self, row: int) -> None:
        """Name the row."""
        super().__init__(f"row {row} is damaged")
        self.row = row


def read_oldest(
    db: sqlite3.Connection,
    limit: int,
    skip: Collection[Stream],
    between: tuple[int, int],
    *,
    events: bool = False,
) -> list[Stored]:
    """Return the oldest samples in row order.

    Args:
        db: the database.
        limit: how many to return at most.
        skip: the streams to leave out.
        between: their rows are above the first number, and not above the second.
        events: whether to return only events of the gateway.

    Raises:
        Damaged: one of them is damaged.
    """
    after, up_to = between
    wanted = " AND NOT (peripheral = ? AND stream = ?)" * len(skip)
    wanted += " AND peripheral = ''" if events else ""
    query = f"SELECT * FROM pending WHERE row > ? AND row <= ?{wanted} ORDER BY row LIMIT ?"
    values = [text for stream in skip for text in stream]
    found: list[Stored] = []
    # The streams that are left out may have all rows but a few: they are not read.
    all_rows = ((after + 1, up_to),)
    parts = all_rows
    if wanted and is_counted(db):
        parts = blocks_with(db, wanted, values, after)
    for first, last in parts:
        bounds = (max(after, first - 1), min(up_to, last))
        rows = db.execute(query, (*bounds, *values, limit - len(found)))
        for row in rows:
            if not is_intact(row):
                raise Damaged(row[0])
            found.append(Stored(*row[:-1]))
        if len(found) == limit:
            break
    return found
