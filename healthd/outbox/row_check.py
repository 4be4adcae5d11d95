"""Checks the rows of earlier runs while samples flow: a start does not wait until all are read."""

import sqlite3

from healthd.outbox.database import is_checked_at_once, is_full, transaction
from healthd.outbox.schema import BLOCK_ROWS
from healthd.outbox.tally import check_block, next_block
from healthd.outbox.version import is_counted, mark_counted


class RowCheck:
    """Finds damage before rows are to be delivered, and counts the rows of an older file.

    Attributes:
        row_at_start: the last row of earlier runs.
    """

    def __init__(self, db: sqlite3.Connection, row_at_start: int) -> None:
        """Prepare; nothing is left to check if opening the file has checked all of it."""
        self.row_at_start = row_at_start
        self._db = db
        self._next_block = 0
        self._complete = is_checked_at_once(db) and is_counted(db)

    @property
    def is_complete(self) -> bool:
        """Whether every row was read."""
        return self._complete

    def step(self) -> bool:
        """Read the next block of rows; return False once there is none.

        Raises:
            sqlite3.DatabaseError: the file is damaged.
        """
        if self._complete:
            return False
        block = next_block(self._db, self._next_block)
        if block is not None and block > self.row_at_start // BLOCK_ROWS:
            block = None
        try:
            with transaction(self._db):
                if block is not None:
                    check_block(self._db, block)
                elif not is_counted(self._db):
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
