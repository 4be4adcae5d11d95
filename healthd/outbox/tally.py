"""How many samples are on disk: counted once, then updated with every change."""

import sqlite3
from collections import Counter
from collections.abc import Iterable

from healthd.outbox.schema import StreamStats

Size = tuple[str, str, int]
"""Peripheral, stream, and the payload's bytes of one sample."""

RETURNING_SIZES = "RETURNING peripheral, stream, length(payload)"
"""The end of a DELETE that returns the sizes of the rows it removes."""


class Tally:
    """The number of stored samples by stream, and the bytes of all their payloads.

    Counting reads the whole file. After an outage of days that takes seconds on an SD card; the
    outbox's thread commits nothing meanwhile, and these numbers are needed twice a minute.

    Attributes:
        counts: samples by peripheral and stream.
        payload_bytes: bytes of all payloads.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        """Count the stored samples."""
        stats = read_stats(db)
        self.counts = Counter({(row.peripheral, row.stream): row.count for row in stats})
        self.payload_bytes = sum(row.payload_bytes for row in stats)

    def add(self, sizes: Iterable[Size]) -> None:
        """Add samples that were committed."""
        for peripheral, stream, size in sizes:
            self.counts[peripheral, stream] += 1
            self.payload_bytes += size

    def remove(self, sizes: Iterable[Size]) -> None:
        """Subtract samples that were deleted."""
        for peripheral, stream, size in sizes:
            self.counts[peripheral, stream] -= 1
            self.payload_bytes -= size
            if not self.counts[peripheral, stream]:
                del self.counts[peripheral, stream]


def read_stats(db: sqlite3.Connection) -> list[StreamStats]:
    """Return what is stored of each stream; this reads the whole store."""
    columns = "peripheral, stream, count(*), min(wall_ns), sum(length(payload))"
    query = f"SELECT {columns} FROM pending GROUP BY peripheral, stream"
    return [StreamStats(*values) for values in db.execute(query)]
