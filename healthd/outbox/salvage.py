"""Copies the intact rows of a damaged file to the one in use, while samples flow.

The damaged file is read page by page. Each step reads some pages, or copies some rows, so that
neither the start nor a commit waits for a large file, and memory does not depend on its size. How
far it has come is committed with the rows, so that a kill repeats and loses nothing. The rows get
new numbers, below those of newer samples: history stays in order.
"""

import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from healthd.outbox.checksum import checksum, is_intact
from healthd.outbox.database import transaction
from healthd.outbox.missing import Block, Place, Sum
from healthd.outbox.raw_pages import Cell, RawPages
from healthd.outbox.schema import BLOCK_ROWS, INSERT, Lost, Stream

# 1 MB read in one step: a commit that waits for it is not noticed.
_PAGES = 256

# So much is copied before anything else happens: half a second. A larger file is copied while
# samples flow.
_AT_ONCE_PAGES = 1024

# From this many rows it is clear which ones a page has.
_ENOUGH = 3

# What is held in memory before it is copied: the log has room for it, see ``claim.py``.
_HELD_BYTES = 500_000

# A row takes more bytes than this, so a file of a known size cannot have more rows.
_LEAST_BYTES = 32

# Notes are few: what exceeds this is not ours.
_MOST_NOTES = 20_000

_COLUMNS = 11

_NOTES: dict[tuple[type, ...], str] = {
    (str, int, int): "INSERT OR IGNORE INTO runs VALUES (?, ?, ?)",
    (str, str, str, int, int): "INSERT OR IGNORE INTO certain VALUES (?, ?, ?, ?, ?)",
    (str, str, str, int, str, int): "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?)",
}


class Found(NamedTuple):
    """What one step has found.

    Attributes:
        lost: rows that are missing or damaged.
        unknown: how many damaged rows of which nothing is known.
        damaged: the columns of damaged rows, as far as they can be read.
        more: whether there is more to do.
    """

    lost: Sequence[Lost] = ()
    unknown: int = 0
    damaged: Sequence[Sequence[Any]] = ()
    more: bool = True


class Salvage:
    """The copy of one damaged file.

    Attributes:
        path: the damaged file.
        copied: how many rows were copied in this run.
        lost: how many rows were found lost.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        """Begin, or go on where an earlier run stopped; ``db`` is the file in use.

        Raises:
            OSError: the damaged file cannot be read.
        """
        self.path = path
        self.copied = self.lost = 0
        self._db = db
        self._pages = RawPages(path)
        query = "SELECT after, next, last FROM salvage WHERE file = ?"
        self._after, self._next, self._last = db.execute(query, (path.name,)).fetchone()
        # An earlier run has named what is missing from the blocks before this one. Of this one it
        # has copied the first rows: they are read again, to see what is missing between them.
        self._counted = self._after // BLOCK_ROWS
        self._copied_before = self._after
        self._read_again: set[int] = set()
        # First step: the pages with rows, by the row in the middle of each.
        self._page = 1
        self._leaves = array("Q")
        self._tally: dict[int, dict[Stream, Sum]] = {}
        self._notes: dict[str, list[tuple[Any, ...]]] = {}
        # Second step: from page to page, block to block.
        self._place = 0
        self._blocks: dict[int, Block] = {}
        self._before: dict[Stream, Place] = {}
        self._held: dict[int, Sequence[Any]] = {}
        self._held_bytes = 0

    def close(self) -> None:
        """Close the damaged file."""
        self._pages.close()

    @property
    def read_to(self) -> int:
        """The last row number that may be read: the next ones are still to be copied."""
        return self._next - 1

    @property
    def is_small(self) -> bool:
        """Whether it takes so little time that a start may wait for it."""
        return self._pages.count <= _AT_ONCE_PAGES

    @property
    def _is_indexed(self) -> bool:
        """Whether every page was looked at, so that rows are being copied."""
        return self._page > self._pages.count

    def step(self) -> Found:
        """Do the next part.

        Raises:
            sqlite3.Error: the file in use cannot be written; the next call tries again.
            OSError: the damaged file cannot be read.
        """
        if not self._is_indexed:
            self._index()
            return Found()
        return self._copy()

    # Pages

    def _index(self) -> None:
        last = min(self._page + _PAGES, self._pages.count + 1)
        for page in range(self._page, last):
            if not self._pages.is_free(page):
                self._look_at(page)
        self._page = last
        if self._is_indexed:
            pairs = zip(self._leaves[::2], self._leaves[1::2], strict=True)
            copied = self._counted * BLOCK_ROWS
            ordered = sorted(pairs)
            # The page before may have the first rows of the block.
            rest = ordered[max(bisect_left(ordered, (copied, 0)) - 1, 0) :]
            self._leaves = array("Q", [number for pair in rest for number in pair])
            with transaction(self._db) as db:
                for statement, rows in self._notes.items():
                    db.executemany(statement, rows)
            self._notes.clear()

    def _look_at(self, page: int) -> None:
        rows: list[int] = []
        for cell in self._pages.cells(page):
            if cell is None:
                continue
            if len(cell.values) in (_COLUMNS, _COLUMNS + 1):
                rows.append(cell.row)
                if len(rows) == _ENOUGH:
                    break
            else:
                self._note(cell)
        if rows:
            middle = sorted(rows)[len(rows) // 2]
            self._leaves.extend((max(middle, 0), page))

    def _note(self, cell: Cell) -> None:
        kinds = tuple(map(type, cell.values))
        if not cell.row and kinds[:5] == (int, str, str, int, int) and len(kinds) == 6:
            block, peripheral, stream, rows, size, _ = cell.values
            if rows > 0:
                self._tally.setdefault(block, {})[peripheral, stream] = Sum(rows, size)
        elif cell.row and (statement := _NOTES.get(kinds)):
            # What replacement characters are in was text once.
            whole = not any("\ufffd" in value for value in cell.values if isinstance(value, str))
            noted = self._notes.setdefault(statement, [])
            if whole and len(noted) < _MOST_NOTES:
                noted.append(cell.values)

    # Rows

    def _copy(self) -> Found:
        """Copy the rows of some pages, up to the end of a block, or as many as memory may hold."""
        block = -1
        while self._place < len(self._leaves) and self._held_bytes < _HELD_BYTES:
            number, page = self._leaves[self._place : self._place + 2]
            # After a restart the first block may have been copied already.
            if self._held and number // BLOCK_ROWS > block >= 0:
                break
            block = number // BLOCK_ROWS
            self._place += 2
            for values in self._rows(page):
                self._take(values, block)
        return self._flush(block)

    def _rows(self, page: int) -> Iterator[list[Any]]:
        """Yield the columns of each row of a page, with the checksum."""
        for cell in self._pages.cells(page):
            if cell is not None and len(cell.values) in (_COLUMNS, _COLUMNS + 1):
                missing = _COLUMNS + 1 - len(cell.values)
                yield [cell.row, *cell.values[1:], *[None] * missing]

    def _take(self, values: list[Any], block: int) -> None:
        """Hold an intact row; note a damaged one of a page in this block."""
        row, peripheral, stream, _, run, seq, wall_ns, *_, payload, _ = values
        if not is_intact(values):
            self._of(block).add_damaged(values[:-1])
        elif row > self._after and row not in self._held:
            place = Place(run, seq, wall_ns)
            self._of(row // BLOCK_ROWS).add((peripheral, stream), place, len(payload))
            self._held[row] = values[1:-1]
            self._held_bytes += len(payload)
        elif self._is_read_again(row):
            self._read_again.add(row)
            place = Place(run, seq, wall_ns)
            self._of(self._counted).add((peripheral, stream), place, len(payload))

    def _is_read_again(self, row: int) -> bool:
        """Return whether an earlier run has copied the row, but not said what is missing there."""
        is_copied = row <= self._copied_before and row // BLOCK_ROWS == self._counted
        return is_copied and row not in self._read_again

    def _of(self, block: int) -> Block:
        if block not in self._blocks:
            self._blocks[block] = Block(self._before)
        return self._blocks[block]

    def _flush(self, block: int) -> Found:
        """Commit what is held, and say what is missing from the blocks before this one."""
        complete = self._place >= len(self._leaves)
        # The last page may have rows of the next block, and this one is not named yet.
        rows = sorted(row for row in self._held if complete or row // BLOCK_ROWS <= block)
        values = [
            (number, *self._held[row], checksum(number, self._held[row]))
            for number, row in enumerate(rows, self._next)
        ]
        after, following = max([self._after, *rows[-1:]]), self._next + len(rows)
        with transaction(self._db) as db:
            db.executemany(INSERT, values)
            if complete:
                db.execute("DELETE FROM salvage WHERE file = ?", (self.path.name,))
            else:
                change = "UPDATE salvage SET after = ?, next = ? WHERE file = ?"
                db.execute(change, (after, following, self.path.name))
        for row in rows:
            self._held_bytes -= len(self._held.pop(row)[-1])
        self._after, self._next = after, following
        numbers = sorted(self._tally.keys() | self._blocks.keys())
        found = self._missing([number for number in numbers if complete or number < block])
        self.copied += len(rows)
        self.lost += sum(lost.count for lost in found.lost) + found.unknown
        return found._replace(more=not complete)

    def _missing(self, over: Sequence[int]) -> Found:
        lost: list[Lost] = []
        damaged: list[Sequence[Any]] = []
        unknown = 0
        for number in over:
            block = self._blocks.pop(number, None) or Block(self._before)
            tally = self._tally.pop(number, None)
            if number >= self._counted:
                missing, nameless = block.missing(tally)
                lost += missing
                unknown += nameless
            damaged += block.damaged
            self._before = block.last()
        return Found(lost, unknown, damaged)


def begin(path: Path, db: sqlite3.Connection, base: int) -> int:
    """Note that a damaged file is to be copied; return the first row number after its rows.

    Args:
        path: the damaged file.
        db: the file in use.
        base: the highest row number so far.
    """
    log = Path(f"{path}-wal")
    size = path.stat().st_size + (log.stat().st_size if log.exists() else 0)
    last = base + size // _LEAST_BYTES + 1
    db.execute("INSERT INTO salvage VALUES (?, -1, ?, ?)", (path.name, base + 1, last))
    return last
