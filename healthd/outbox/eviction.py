"""Makes room in a full outbox: the oldest samples go first, and what is lost is counted."""

import sqlite3
from collections.abc import Collection

import orjson

from healthd.outbox.claim import drop_filler
from healthd.outbox.database import transaction
from healthd.outbox.schema import BLOCK_ROWS, Lost
from healthd.outbox.version import is_counted

# Evicting a few hundred rows at once keeps a full store writable for a while.
_EVICT_ROWS = 256


def make_room(db: sqlite3.Connection, spare: Collection[int]) -> list[Lost] | None:
    """Delete what is least valuable; return what is lost by it, or None if nothing can be deleted.

    Args:
        db: a full database.
        spare: rows that must not be deleted.
    """
    if drop_filler(db):
        return []
    values = {"spare": orjson.dumps(list(spare)).decode()}
    # Samples before events: the events report what is lost.
    for kind in ("NOT LIKE", "LIKE"):
        wanted = f"stream {kind} 'event/%'"
        # As a parameter: the statement is kept in memory, and rows are not part of its text.
        evictable = f"{wanted} AND row NOT IN (SELECT value FROM json_each(:spare))"
        if is_counted(db):
            # After months of outages the oldest rows are all events: start where samples are.
            first = f"SELECT min(block) * {BLOCK_ROWS} FROM tally WHERE {wanted}"
            evictable += f" AND row >= ({first})"
        oldest = f"SELECT row FROM pending WHERE {evictable} ORDER BY row LIMIT {_EVICT_ROWS}"
        columns = "peripheral, stream, run, min(seq), max(seq), min(wall_ns), max(wall_ns)"
        summary = f"SELECT {columns}, count(*) FROM pending WHERE row IN ({oldest})"
        with transaction(db):
            lost = db.execute(f"{summary} GROUP BY 1, 2, 3", values).fetchall()
            db.execute(f"DELETE FROM pending WHERE row IN ({oldest})", values)
        if lost:
            return [Lost(*values) for values in lost]
    return None
