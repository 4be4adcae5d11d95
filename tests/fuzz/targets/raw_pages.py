"""A damaged outbox, read without SQLite: rows are found or left out, in bounded time and memory."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from healthd.outbox.raw_log import has_lost_commits
from healthd.outbox.raw_pages import RawPages
from tests.fuzz import target

_PAGE_BYTES = 4096

# A page has room for some thousand pointers to rows.
_MOST_ROWS = 4096


class Target(target.Target):
    """The first byte says how many pages the database has; after them comes its log."""

    words = (
        b"\x0d",
        b"\x05",
        b"\x0a",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x81\x80\x00",
        b"\x00\x0f\xf0",
    )

    def __init__(self) -> None:
        """Make a folder."""
        self._folder = target.folder()
        self._file = Path(self._folder.name) / "outbox.sqlite3"
        self._log = Path(f"{self._file}-wal")

    def seeds(self) -> Iterable[bytes]:
        """Yield a database with long and short rows and unused pages, and its log."""
        self._file.unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)
        with sqlite3.connect(self._file, isolation_level=None) as db:
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE rows (a INTEGER PRIMARY KEY, b TEXT, c BLOB, d REAL)")
            db.executemany(
                "INSERT INTO rows VALUES (?, ?, ?, ?)",
                [(row, "x" * row, b"y" * (row * 300), row / 3) for row in range(1, 21)],
            )
            db.execute("DELETE FROM rows WHERE a > 15")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            whole = self._file.read_bytes()
            db.execute("INSERT INTO rows VALUES (100, 'z', NULL, 1)")
            log = self._log.read_bytes()
        db.close()
        for pages in (2, 4):
            yield bytes([pages]) + whole[: pages * _PAGE_BYTES]
            yield bytes([pages]) + whole[: pages * _PAGE_BYTES] + log

    def fuzz(self, data: bytes) -> None:
        """Read all pages."""
        size = data[0] * _PAGE_BYTES if data else 0
        self._file.write_bytes(data[1 : 1 + size])
        self._log.write_bytes(data[1 + size :])
        has_lost_commits(self._file)
        with closing(RawPages(self._file)) as pages:
            assert pages.count < 2**24 + 16
            for page in range(1, min(pages.count, 64) + 1):
                pages.is_free(page)
                assert len(list(pages.cells(page))) <= _MOST_ROWS

    def __exit__(self, *exception: object) -> None:
        """Remove the folder."""
        self._folder.cleanup()
