"""Deletes delivered rows: all at once if nothing else is left, as after most outages."""

import sqlite3
from collections.abc import Collection, Sequence

import orjson

from healthd.outbox.version import note_tables

# For fewer rows than fill a few pages, single deletions write less.
_LEAST_ROWS = 64

_TRIGGER = "pending_removed"


def clear(db: sqlite3.Connection, rows: Collection[int]) -> bool:
    """Delete all rows if these are all; call it inside a transaction.

    SQLite then frees the pages without writing them, but only if the table has no trigger for it.
    Row by row, each page is emptied, and goes to the log once more: a quarter of all that a short
    outage writes.

    Returns:
        Whether it was done.
    """
    if len(rows) < _LEAST_ROWS:
        return False
    # What is there decides, not the tally: it may be damaged.
    found = db.execute("SELECT row FROM pending LIMIT ?", (len(rows) + 1,)).fetchall()
    if not {row for (row,) in found}.issubset(rows):
        return False
    query = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?"
    if (trigger := db.execute(query, (_TRIGGER,)).fetchone()) is None:
        return False
    db.execute(f"DROP TRIGGER {_TRIGGER}")
    db.execute("DELETE FROM pending")
    db.execute("DELETE FROM tally")
    db.execute(trigger[0])
    note_tables(db)
    return True


def delete_rows(db: sqlite3.Connection, rows: Sequence[int]) -> None:
    """Delete these rows; call it inside a transaction."""
    # As a parameter: sqlite3 keeps the last 128 different statements in memory.
    delete = "DELETE FROM pending WHERE row IN (SELECT value FROM json_each(?))"
    db.execute(delete, (orjson.dumps(rows).decode(),))
