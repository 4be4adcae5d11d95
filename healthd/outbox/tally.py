"""How many samples wait in each stream: kept in a table, because counting reads the whole file.

The rows of ``pending`` are divided into blocks of ``BLOCK_ROWS`` row numbers, and table ``tally``
has an entry for each stream in each block. Triggers keep it, so it changes in the same transaction
as the rows and no crash can make it wrong. A few hundred blocks describe the default quota.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from healthd.outbox.missing import Sum
from healthd.outbox.schema import BLOCK_ROWS, Stream, StreamStats
from healthd.outbox.version import is_counted

_TYPES = (int, str, str, int, int)


class _Sum(NamedTuple):
    """Samples of one stream; the time is None if it is not known."""

    samples: int = 0
    payload_bytes: int = 0
    oldest_ns: int | None = None

    def plus(self, samples: int, payload_bytes: int, oldest_ns: int | None) -> "_Sum":
        known = [time_ns for time_ns in (self.oldest_ns, oldest_ns) if time_ns is not None]
        return _Sum(
            self.samples + samples, self.payload_bytes + payload_bytes, min(known, default=None)
        )


def totals(db: sqlite3.Connection) -> tuple[dict[Stream, int], int]:
    """Return the number of stored samples by stream, and the bytes of all payloads."""
    counts: dict[Stream, int] = {}
    size = 0
    for _, peripheral, stream, count, payload_bytes, _ in _entries(db):
        counts[peripheral, stream] = counts.get((peripheral, stream), 0) + count
        size += payload_bytes
    return counts, size


def read_stats(db: sqlite3.Connection) -> list[StreamStats]:
    """Return what is stored of each stream; fast, except for a file without a complete tally."""
    db.execute("BEGIN")
    try:
        sums = _sum_of_entries(db) if is_counted(db) else _sum_of_rows(db)
    finally:
        db.execute("COMMIT")
    return [
        StreamStats(*stream, row.samples, row.oldest_ns or 0, row.payload_bytes)
        for stream, row in sums.items()
    ]


def blocks_with(
    db: sqlite3.Connection, wanted: str, values: Sequence[str], after: int
) -> Iterator[tuple[int, int]]:
    """Yield the first and last row number of each block with samples of certain streams.

    Args:
        db: a file with a complete tally.
        wanted: SQL that follows a condition, about ``peripheral`` and ``stream``.
        values: its parameters.
        after: row number; blocks that end before it are left out.
    """
    query = f"SELECT DISTINCT block FROM tally WHERE block >= ?{wanted} ORDER BY block"
    for (block,) in db.execute(query, (after // BLOCK_ROWS, *values)):
        yield bounds(block)


def next_block(db: sqlite3.Connection, block: int) -> int | None:
    """Return the first block with rows from this one on; None if there is none."""
    row = db.execute("SELECT min(row) FROM pending WHERE row >= ?", (block * BLOCK_ROWS,))
    first: int | None = row.fetchone()[0]
    return None if first is None else first // BLOCK_ROWS


def next_known_block(db: sqlite3.Connection, block: int) -> int | None:
    """Return the first block from this one on that has rows, or should have some."""
    entry = db.execute("SELECT min(block) FROM tally WHERE block >= ?", (block,)).fetchone()[0]
    found = (next_block(db, block), entry)
    return min((number for number in found if isinstance(number, int)), default=None)


def tally_of(db: sqlite3.Connection, block: int) -> dict[Stream, Sum]:
    """Return what the entries of a block say."""
    return {
        (peripheral, stream): Sum(count, payload_bytes)
        for _, peripheral, stream, count, payload_bytes, _ in _entries(db, block)
    }


def correct_tally(db: sqlite3.Connection, block: int, right: Mapping[Stream, Sum]) -> None:
    """Correct the entries of a block if they are not right; call it inside a transaction.

    Args:
        db: the database.
        block: the block's number.
        right: the rows of each stream.
    """
    # Nothing is written if they are right. A time is right or not known.
    if tally_of(db, block) == right and _count_entries(db, block) == len(right):
        return
    db.execute("DELETE FROM tally WHERE block = ?", (block,))
    rows = [(block, *stream, *row) for stream, row in _summed_rows(db, block).items()]
    db.executemany("INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?)", rows)


def _entries(db: sqlite3.Connection, block: int | None = None) -> Iterator[Sequence[Any]]:
    """Yield the entries, of one block or of all; damaged ones are left out."""
    of_block, values = ("", ()) if block is None else (" WHERE block = ?", (block,))
    for entry in db.execute(f"SELECT * FROM tally{of_block}", values):
        *known, oldest_ns = entry
        if tuple(map(type, known)) == _TYPES and isinstance(oldest_ns, int | None):
            yield entry


def _count_entries(db: sqlite3.Connection, block: int) -> int:
    count: int = db.execute("SELECT count(*) FROM tally WHERE block = ?", (block,)).fetchone()[0]
    return count


def bounds(block: int) -> tuple[int, int]:
    """Return the first and last row number of a block."""
    return block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS - 1


def _summed_rows(db: sqlite3.Connection, block: int) -> dict[Stream, _Sum]:
    columns = "peripheral, stream, count(*), sum(length(payload)), min(wall_ns)"
    query = f"SELECT {columns} FROM pending WHERE row BETWEEN ? AND ? GROUP BY 1, 2"
    return {
        # A damaged row may have anything as its time; it is removed once it is found.
        (peripheral, stream): _Sum(rows, size, oldest if isinstance(oldest, int) else None)
        for peripheral, stream, rows, size, oldest in db.execute(query, bounds(block))
    }


def _sum_of_rows(db: sqlite3.Connection) -> dict[Stream, _Sum]:
    """Add up all rows, block by block, so that memory does not depend on their number."""
    sums: dict[Stream, _Sum] = {}
    block = next_block(db, 0)
    while block is not None:
        for stream, summed in _summed_rows(db, block).items():
            sums[stream] = sums.get(stream, _Sum()).plus(*summed)
        block = next_block(db, block + 1)
    return sums


def _sum_of_entries(db: sqlite3.Connection) -> dict[Stream, _Sum]:
    """Add up the entries; rows are read only where an entry does not know its oldest time."""
    sums: dict[Stream, _Sum] = {}
    unknown: dict[int, set[Stream]] = {}
    for block, peripheral, stream, *values in _entries(db):
        before = sums.get((peripheral, stream), _Sum())
        sums[peripheral, stream] = before.plus(*values)
        if values[-1] is None:
            unknown.setdefault(block, set()).add((peripheral, stream))
    for block, streams in unknown.items():
        rows = _summed_rows(db, block)
        for stream in streams:
            sums[stream] = sums[stream].plus(0, 0, rows.get(stream, _Sum()).oldest_ns)
    return sums
