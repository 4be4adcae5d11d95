"""Checks the rows of earlier runs while samples flow: a start does not wait until all are read."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from healthd.outbox.checksum import is_intact
from healthd.outbox.database import check_whole, is_checked_at_once, is_full, transaction
from healthd.outbox.missing import Block, Place
from healthd.outbox.report import Report
from healthd.outbox.schema import BLOCK_ROWS, Stream
from healthd.outbox.tally import bounds, correct_tally, next_known_block, tally_of
from healthd.outbox.version import is_counted, mark_counted


class RowCheck:
    """Finds damage before rows are to be delivered, and counts the rows of an older file.

    Attributes:
        row_at_start: the last row of earlier runs.
    """

    def __init__(self, db: sqlite3.Connection, row_at_start: int, report: Report) -> None:
        """Prepare.

        Args:
            db: the database.
            row_at_start: the last row of earlier runs.
            report: takes what is found.
        """
        self.row_at_start = row_at_start
        self._db = db
        self._report = report
        self._next_block = 0
        self._complete = False
        # The last intact sample of each stream before the next block.
        self._before: dict[Stream, Place] = {}

    def at_once(self) -> None:
        """Check everything if little is stored, so that it is known before samples flow.

        Raises:
            sqlite3.DatabaseError: the file is damaged.
        """
        if is_checked_at_once(self._db):
            while is_counted(self._db) and self.step():
                pass
            check_whole(self._db)

    def step(self) -> bool:
        """Read the next block of rows; return False once there is none.

        Raises:
            sqlite3.DatabaseError: the file is damaged.
        """
        if self._complete:
            return False
        block = next_known_block(self._db, self._next_block)
        if block is not None and block > self.row_at_start // BLOCK_ROWS:
            block = None
        try:
            if block is not None:
                self._before = check_block(self._db, block, self._before, self._report)
            elif not is_counted(self._db):
                with transaction(self._db):
                    mark_counted(self._db)
        except sqlite3.OperationalError as error:
            # A full file has no room for the tally of an older one. Nothing is evicted for it: the
            # next samples that are delivered or evicted make room.
            if not is_full(error):
                raise
            return True
        self._complete = block is None
        self._next_block = 0 if block is None else block + 1
        return not self._complete


def check_block(
    db: sqlite3.Connection, block: int, before: dict[Stream, Place], report: Report
) -> dict[Stream, Place]:
    """Read every row of a block, remove the damaged ones, and correct what is counted.

    Args:
        db: the database.
        block: the block's number.
        before: the last intact sample of each stream in earlier blocks, as far as it is known.
        report: takes what is found.

    Returns:
        ``before`` for the next block.

    Raises:
        sqlite3.DatabaseError: rows cannot be read or are missing: the file is damaged.
    """
    rows = Block(before)
    with transaction(db):
        query = "SELECT * FROM pending WHERE row BETWEEN ? AND ?"
        for values in db.execute(query, bounds(block)):
            _add(rows, values)
        tally = tally_of(db, block) if is_counted(db) else None
        lost, unknown = rows.missing(tally)
        if sum(each.count for each in lost) + unknown > len(rows.damaged):
            raise sqlite3.DatabaseError("rows are missing")
        numbers = [(values[0],) for values in rows.damaged]
        removed = db.executemany("DELETE FROM pending WHERE row = ?", numbers).rowcount
        if numbers and removed != len(numbers):
            raise sqlite3.DatabaseError("a row cannot be found by its number")
        correct_tally(db, block, rows.sums())
    if rows.damaged:
        report.set_aside("damaged", rows.damaged, lost, unknown)
    return rows.last()


def _add(rows: Block, values: Sequence[Any]) -> None:
    if not is_intact(values):
        rows.add_damaged(values[:-1])
        return
    _, peripheral, stream, _, run, seq, wall_ns, *_, payload, _ = values
    rows.add((peripheral, stream), Place(run, seq, wall_ns), len(payload))
