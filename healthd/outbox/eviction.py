"""Makes room in a full outbox: the peripheral that has most there loses its oldest samples.

A peripheral that sends much more than the others then fills only its own part of the quota.
"""

import sqlite3
from collections.abc import Collection, Iterator
from typing import NamedTuple

import orjson

from healthd.outbox.claim import drop_filler, page_count
from healthd.outbox.database import transaction
from healthd.outbox.schema import Lost
from healthd.outbox.tally import blocks_with
from healthd.outbox.version import is_counted

# Evicting a few hundred rows at once keeps a full store writable for a while. If another one has
# nearly as much, only a few go, so that the two lose samples in turn.
_EVICT_ROWS, _EVICT_FEW = 256, 32

# Blocks that are read for one eviction, once something was found: 8,192 rows, which takes
# milliseconds. The oldest samples of a peripheral may be far apart.
_BLOCKS_READ = 4

# What a row takes besides its payload: its other columns are about that long.
_ROW_BYTES = 150

# Events report what is lost, so they go last. But a peripheral whose link comes and goes for days
# makes events all the time: beyond this part of everything that waits, the oldest of them go first.
_EVENTS_PART = 1 / 4

# Pages that are kept free, so that the commit of a few samples does not have to wait for an
# eviction: 256 kB, several times what arrives in a second, or this part of a small quota.
_SPARE_PAGES, _SPARE_PART = 64, 16


class _Owner(NamedTuple):
    """Whose rows may go.

    Attributes:
        wanted: SQL about the columns of a row.
        values: its parameters.
        rows: how many of them go at once.
    """

    wanted: str
    values: tuple[str, ...] = ()
    rows: int = _EVICT_ROWS


def is_nearly_full(db: sqlite3.Connection) -> bool:
    """Return whether the next few samples may find no room; only reads."""
    unused: int = db.execute("PRAGMA freelist_count").fetchone()[0]
    most: int = db.execute("PRAGMA max_page_count").fetchone()[0]
    return unused + most - page_count(db) < min(_SPARE_PAGES, most // _SPARE_PART)


def make_room(db: sqlite3.Connection, spare: Collection[int]) -> list[Lost] | None:
    """Delete what is least valuable; return what is lost by it, or None if nothing can be deleted.

    Args:
        db: a full database.
        spare: rows that must not be deleted.
    """
    if drop_filler(db):
        return []
    # As a parameter: the statement is kept in memory, and rows are not part of its text.
    spared = orjson.dumps(list(spare)).decode()
    with transaction(db):
        for owner in _owners(db):
            if rows := _oldest_rows(db, owner, spared):
                return _delete(db, rows)
    return None


def _owners(db: sqlite3.Connection) -> Iterator[_Owner]:
    """Yield whose rows may go, in the order in which they go."""
    if not is_counted(db):
        # A file of an earlier healthd, for some minutes: it is not known yet which has most.
        yield _Owner(" AND peripheral != ''")
        yield _Owner(" AND peripheral = ''")
        return
    size = f"sum(payload_bytes + {_ROW_BYTES} * count)"
    query = f"SELECT peripheral, {size}, sum(count) FROM tally GROUP BY 1 ORDER BY 2 DESC"
    sums = db.execute(query).fetchall()
    events = [
        _Owner(" AND peripheral = '' AND stream = ?", (stream,))
        for (stream,) in db.execute(
            f"SELECT stream FROM tally WHERE peripheral = '' GROUP BY 1 ORDER BY {size} DESC"
        )
    ]
    of_events = sum(taken for name, taken, _ in sums if not name)
    if of_events > _EVENTS_PART * sum(taken for _, taken, _ in sums):
        yield events[0]
    peripherals = [row for row in sums if row[0]]
    following = [*(taken for _, taken, _ in peripherals[1:]), 0]
    for (name, taken, count), less in zip(peripherals, following, strict=False):
        more = int(count * (1 - less / max(taken, 1)))
        yield _Owner(" AND peripheral = ?", (name,), min(max(more, _EVICT_FEW), _EVICT_ROWS))
    yield from events


def _oldest_rows(db: sqlite3.Connection, owner: _Owner, spared: str) -> list[int]:
    """Return the oldest rows of an owner, as far as they are worth looking for."""
    found: list[int] = []
    query = (
        f"SELECT row FROM pending WHERE row BETWEEN ? AND ?{owner.wanted}"
        " AND row NOT IN (SELECT value FROM json_each(?)) ORDER BY row LIMIT ?"
    )
    for read, (first, last) in enumerate(_parts(db, owner), 1):
        left = owner.rows - len(found)
        found += [row for (row,) in db.execute(query, (first, last, *owner.values, spared, left))]
        if len(found) == owner.rows or (found and read >= _BLOCKS_READ):
            break
    return found


def _parts(db: sqlite3.Connection, owner: _Owner) -> Iterator[tuple[int, int]]:
    """Yield the first and last row number of the parts of the table that have rows of an owner."""
    if is_counted(db):
        yield from blocks_with(db, owner.wanted, owner.values, 0)
    else:
        last: int | None = db.execute("SELECT max(row) FROM pending").fetchone()[0]
        yield 0, last or 0


def _delete(db: sqlite3.Connection, rows: list[int]) -> list[Lost]:
    wanted, values = "row IN (SELECT value FROM json_each(?))", (orjson.dumps(rows).decode(),)
    columns = "peripheral, stream, run, min(seq), max(seq), min(wall_ns), max(wall_ns), count(*)"
    query = f"SELECT {columns} FROM pending WHERE {wanted} GROUP BY 1, 2, 3"
    lost = [Lost(*summed) for summed in db.execute(query, values).fetchall()]
    db.execute(f"DELETE FROM pending WHERE {wanted}", values)
    return lost
