"""How many samples wait in each stream: kept in a table, because counting reads the whole file.

The rows of ``pending`` are divided into blocks of ``BLOCK_ROWS`` row numbers, and table ``tally``
has an entry for each stream in each block. Triggers keep it, so it changes in the same transaction
as the rows and no crash can make it wrong. A few hundred blocks describe the default quota.
"""

import sqlite3
from collections.abc import Collection, Iterator
from typing import NamedTuple

from healthd.outbox.schema import BLOCK_ROWS, Stream, StreamStats
from healthd.outbox.version import is_counted

class _Sum(NamedTuple):
    """Samples of one stream; the time is None if it is not known."""

    count: int = 0
    payload_bytes: int = 0
    oldest_ns: int | None = None

    def plus(self, count: int, payload_bytes: int, oldest_ns: int | None) -> "_Sum":
        known = [time_ns for time_ns in (self.oldest_ns, oldest_ns) if time_ns is not None]
        return _Sum(
            self.count + count, self.payload_bytes + payload_bytes, min(known, default=None)
        )


def totals(db: sqlite3.Connection) -> tuple[dict[Stream, int], int]:
    """Return the number of stored samples by stream, and the bytes of all payloads."""
    counts: dict[Stream, int] = {}
    size = 0
    for peripheral, stream, count, payload_bytes in db.execute(
        "SELECT peripheral, stream, count, payload_bytes FROM tally"
    ):
        counts[peripheral, stream] = counts.get((peripheral, stream), 0) + count
        size += payload_bytes
    return counts, size


def read_stats(db: sqlite3.Connection) -> list[StreamStats]:
    """Return what is stored of each stream; fast, except for a file without a complete tally."""
    db.execute("BEGIN")
    try:
        sums = _summed_entries(db) if is_counted(db) else _summed_rows(db, 0, None)
    finally:
        db.execute("COMMIT")
    return [
        StreamStats(*stream, row.count, row.oldest_ns or 0, row.payload_bytes)
        for stream, row in sums.items()
    ]


def blocks_with_others(
    db: sqlite3.Connection, skip: Collection[Stream], after: int
) -> Iterator[tuple[int, int]]:
    """Yield the first and last row number of each block with samples of other streams than these.

    Args:
        db: a file with a complete tally.
        skip: the streams to leave out.
        after: row number; blocks that end before it are left out.
    """
    wanted = " AND NOT (peripheral = ? AND stream = ?)" * len(skip)
    query = f"SELECT DISTINCT block FROM tally WHERE block >= ?{wanted} ORDER BY block"
    values = [text for stream in skip for text in stream]
    for (block,) in db.execute(query, (after // BLOCK_ROWS, *values)):
        yield block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS - 1


def check_block(db: sqlite3.Connection, block: int) -> None:
    """Read every row of a block, and correct its entries if they are not right.

    Call it inside a transaction.

    Raises:
        sqlite3.DatabaseError: a row cannot be read: the file is damaged.
    """
    right = _summed_rows(db, block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS - 1)
    columns = "peripheral, stream, count, payload_bytes, oldest_ns"
    found = {
        (peripheral, stream): _Sum(*values)
        for peripheral, stream, *values in db.execute(
            f"SELECT {columns} FROM tally WHERE block = ?", (block,)
        )
    }
    # In the same order of keys or not, with or without the time: nothing is written if it is right.
    if {stream: row[:2] for stream, row in found.items()} == {
        stream: row[:2] for stream, row in right.items()
    }:
        return
    db.execute("DELETE FROM tally WHERE block = ?", (block,))
    rows = [(block, *stream, *row) for stream, row in right.items()]
    db.executemany("INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?)", rows)


def _summed_rows(db: sqlite3.Connection, first: int, last: int | None) -> dict[Stream, _Sum]:
    """Add up rows as they are read; memory does not depend on their number."""
    sums: dict[Stream, _Sum] = {}
    upper = "" if last is None else f" AND row <= {last}"
    # All of the payload: its end may be on other pages, which are to be read as well.
    columns = "peripheral, stream, wall_ns, payload"
    for peripheral, stream, wall_ns, payload in db.execute(
        f"SELECT {columns} FROM pending WHERE row >= {first}{upper}"
    ):
        before = sums.get((peripheral, stream), _Sum())
        sums[peripheral, stream] = before.plus(1, len(payload), wall_ns)
    return sums


def _summed_entries(db: sqlite3.Connection) -> dict[Stream, _Sum]:
    sums: dict[Stream, _Sum] = {}
    unknown: dict[int, set[Stream]] = {}
    for block, peripheral, stream, *values in db.execute("SELECT * FROM tally"):
        before = sums.get((peripheral, stream), _Sum())
        sums[peripheral, stream] = before.plus(*values)
        if values[-1] is None:
            unknown.setdefault(block, set()).add((peripheral, stream))
    for block, streams in unknown.items():
        rows = _summed_rows(db, block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS - 1)
        for stream in streams:
            sums[stream] = sums[stream].plus(0, 0, rows[stream].oldest_ns)
    return sums
