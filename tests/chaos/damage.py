"""Garbles the outbox's database, and knows what was in it."""

import random
import sqlite3
from pathlib import Path

from tests.chaos.evidence import Key

_PAGE = 4096
# How every payload begins: a page with this holds samples.
_SAMPLE = b'{"id":"'


def garble(database: Path, rng: random.Random) -> set[Key]:
    """Overwrite the middle third of the pages that hold samples; the samples that were stored.

    Whoever else uses the database must stand still.
    """
    db = sqlite3.connect(database, isolation_level=None)
    try:
        # Written by another, so that nobody goes on with pages that he remembers; and what is
        # still in the write-ahead log would mend the pages again.
        db.execute("PRAGMA user_version = 1")
        busy, *_ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert not busy, "stopped in the middle of a transaction"
        rows = db.execute("SELECT peripheral, stream, run, seq FROM pending").fetchall()
    finally:
        db.close()
    content = bytearray(database.read_bytes())
    used = [at for at in range(_PAGE, len(content), _PAGE) if _SAMPLE in content[at : at + _PAGE]]
    middle = used[len(used) // 3 : max(len(used) * 2 // 3, len(used) // 3 + 1)]
    assert middle, "no samples in the database"
    with database.open("r+b") as file:
        for at in middle:
            file.seek(at)
            file.write(rng.randbytes(_PAGE))
    return {Key(*row) for row in rows}
