"""The damaged files whose rows are still to be copied, one after the other."""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from healthd.outbox.database import set_last_row, transaction
from healthd.outbox.report import Report, named
from healthd.outbox.schema import Lost
from healthd.outbox.set_aside import files_set_aside, rename_with_log

if TYPE_CHECKING:
    # Few gateways ever have a damaged file, so it is imported for the first one.
    from healthd.outbox.salvage import Salvage

LABEL = "salvage"

DONE = "corrupt"

# What was only in lost pages has no name: commits at the end of a log, or a whole file.
_NOTHING_KNOWN = "nothing that is known of"

# A file that was copied is kept for a person, as large as the quota: a card whose bits rot would
# fill up with more of them.
_KEPT = 1


class Healing:
    """Copies what is intact in damaged files to the one in use."""

    def __init__(self, path: Path, db: sqlite3.Connection, last_row: int, report: Report) -> None:
        """Find the damaged files next to ``path``, and make room for their rows.

        Args:
            path: the file in use.
            db: its connection.
            last_row: the highest row number so far.
            report: takes what is found.

        Raises:
            sqlite3.OperationalError: the file in use cannot be written.
        """
        self.last_row = last_row
        self._path = path
        self._db = db
        self._report = report
        self._salvage: Salvage | None = None
        self._lost: list[Lost] = []
        self._unknown = 0
        self._files = [file for file in files_set_aside(path) if f".{LABEL}-" in file.name]
        noted = {
            name
            for name, after, following, last in db.execute("SELECT * FROM salvage")
            if all(isinstance(number, int) for number in (after, following, last))
            and after >= -1
            and 0 < following <= last + 1 <= self.last_row + 1
        }
        for file in self._files:
            if file.name not in noted:
                from healthd.outbox.salvage import begin

                with transaction(db):
                    self.last_row = begin(file, db, self.last_row)
                    set_last_row(db, self.last_row)

    def at_once(self) -> None:
        """Copy small files now.

        Raises:
            sqlite3.OperationalError: the file in use cannot be written.
        """
        while (salvage := self._current()) is not None and salvage.is_small:
            self.step()

    def read_to(self, last_row: int) -> int:
        """Return the last row that may be read; later ones follow rows that are not copied yet."""
        salvage = self._current()
        return last_row if salvage is None else salvage.read_to

    def step(self) -> bool:
        """Do the next part; return False once nothing is left.

        Raises:
            sqlite3.OperationalError: the file in use cannot be written; the next call tries again.
        """
        if (salvage := self._current()) is None:
            return False
        try:
            found = salvage.step()
        except OSError as error:
            self._finish(f"{error}; the rest of it is not copied")
            return True
        if found.damaged:
            self._report.keep("damaged", found.damaged)
        self._report.add_lost("damaged", found.lost)
        self._lost += found.lost
        self._unknown += found.unknown
        if not found.more:
            self._finish(named(self._lost, self._unknown) or _NOTHING_KNOWN)
        return bool(self._files)

    def close(self) -> None:
        """Close the damaged file."""
        if self._salvage is not None:
            self._salvage.close()

    def _current(self) -> "Salvage | None":
        """Return the file that is being copied; None if nothing is left."""
        while self._salvage is None and self._files:
            from healthd.outbox.salvage import Salvage

            try:
                self._salvage = Salvage(self._files[0], self._db)
            except OSError as error:
                self._finish(f"{error}; nothing of it is copied")
        return self._salvage

    def _finish(self, detail: str) -> None:
        """Go on with the next file; ``detail`` says what is lost with this one."""
        path, copied = self._files.pop(0), 0
        if self._salvage is not None:
            copied = self._salvage.copied
            self._salvage.close()
            self._salvage = None
        with suppress(sqlite3.OperationalError):
            self._db.execute("DELETE FROM salvage WHERE file = ?", (path.name,))
        name = path.name.replace(f".{LABEL}-", f".{DONE}-")
        with suppress(OSError):
            rename_with_log(path, path.with_name(name))
            done = [file for file in files_set_aside(self._path) if f".{DONE}-" in file.name]
            for old in done[:-_KEPT]:
                old.unlink()
                Path(f"{old}-wal").unlink(missing_ok=True)
        self._report.notice("damaged", f"{copied} samples of {name} are copied; lost: {detail}")
        self._lost, self._unknown = [], 0
