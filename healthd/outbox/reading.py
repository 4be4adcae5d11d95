"""Reads the oldest samples, past those of streams that are skipped."""

import sqlite3
from collections.abc import Collection

from healthd.outbox.schema import Stored, Stream
from healthd.outbox.tally import blocks_with
from healthd.outbox.version import is_counted


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
    """
    after, up_to = between
    columns = ", ".join(Stored._fields)
    wanted = " AND NOT (peripheral = ? AND stream = ?)" * len(skip)
    wanted += " AND peripheral = ''" if events else ""
    query = f"SELECT {columns} FROM pending WHERE row > ? AND row <= ?{wanted} ORDER BY row LIMIT ?"
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
        found += [Stored(*row) for row in rows]
        if len(found) == limit:
            break
    return found
