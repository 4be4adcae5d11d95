"""Reads the oldest samples, past those of streams that are skipped."""

import sqlite3
from collections.abc import Collection

from healthd.outbox.schema import Stored, Stream
from healthd.outbox.tally import blocks_with_others
from healthd.outbox.version import is_counted


def read_oldest(
    db: sqlite3.Connection, limit: int, skip: Collection[Stream], between: tuple[int, int]
) -> list[Stored]:
    """Return the oldest samples in row order.

    Args:
        db: the database.
        limit: how many to return at most.
        skip: the streams to leave out.
        between: their rows are above the first number, and not above the second.
    """
    after, up_to = between
    columns = ", ".join(Stored._fields)
    wanted = " AND NOT (peripheral = ? AND stream = ?)" * len(skip)
    query = f"SELECT {columns} FROM pending WHERE row > ? AND row <= ?{wanted} ORDER BY row LIMIT ?"
    values = [text for stream in skip for text in stream]
    found: list[Stored] = []
    # A stream that is skipped for days may have all rows but a few: they are not read.
    all_rows = ((after + 1, up_to),)
    parts = blocks_with_others(db, skip, after) if skip and is_counted(db) else all_rows
    for first, last in parts:
        bounds = (max(after, first - 1), min(up_to, last))
        rows = db.execute(query, (*bounds, *values, limit - len(found)))
        found += [Stored(*row) for row in rows]
        if len(found) == limit:
            break
    return found
