"""Damage the outbox's database on purpose."""

import random
import sqlite3
from pathlib import Path

from tests.chaos.observations import Key

_PAGE = 4096
# The start of every payload: a page that contains this has samples.
_SAMPLE = b'{"id":"'


def damage_database(database: Path, rng: random.Random) -> set[Key]:
    """Overwrite the middle third of the pages with samples; return the keys of the stored events.

    Lost samples have gap events. Lost events are named by the event about the outbox alone.

    Other processes that use the database must be stopped or frozen.
    """
    db = sqlite3.connect(database, isolation_level=None)
    try:
        # A change by another connection invalidates the page caches of all others. The checkpoint
        # empties the write-ahead log, which would otherwise restore the damaged pages.
        db.execute("PRAGMA application_id = 1")
        busy, *_ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert not busy, "the gateway was frozen in the middle of a transaction"
        query = "SELECT peripheral, stream, run, seq FROM pending WHERE peripheral = ''"
        events = db.execute(query).fetchall()
    finally:
        db.close()
    content = bytearray(database.read_bytes())
    pages = [at for at in range(_PAGE, len(content), _PAGE) if _SAMPLE in content[at : at + _PAGE]]
    middle = pages[len(pages) // 3 : max(len(pages) * 2 // 3, len(pages) // 3 + 1)]
    assert middle, "no samples in the database"
    with database.open("r+b") as file:
        for at in middle:
            file.seek(at)
            file.write(rng.randbytes(_PAGE))
    return {Key(*row) for row in events}
