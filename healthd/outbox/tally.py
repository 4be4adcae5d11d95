"""How much waits on disk: counted once, and from then on kept up with every change."""

import sqlite3
from collections import Counter
from collections.abc import Iterable

from healthd.outbox.schema import StreamStats

Size = tuple[str, str, int]
"""Peripheral, stream, and bytes of the payload of one sample."""

RETURNING_SIZES = "RETURNING peripheral, stream, length(payload)"
"""Ends a DELETE so that it gives the sizes of what it removed."""


class Tally:
    """Samples by stream, and the bytes of all.

    Counting reads the whole file. After an outage of days that takes seconds on a card, in which
    the outbox's thread commits nothing, and these numbers are asked for twice a minute.

    Attributes:
        counts: by peripheral and stream.
        payload_bytes: of all of them.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        """Count what is there."""
        stats = read_stats(db)
        self.counts = Counter({(one.peripheral, one.stream): one.count for one in stats})
        self.payload_bytes = sum(one.payload_bytes for one in stats)

    def add(self, sizes: Iterable[Size]) -> None:
        """These were committed."""
        for peripheral, stream, size in sizes:
            self.counts[peripheral, stream] += 1
            self.payload_bytes += size

    def remove(self, sizes: Iterable[Size]) -> None:
        """These were deleted."""
        for peripheral, stream, size in sizes:
            self.counts[peripheral, stream] -= 1
            self.payload_bytes -= size
            if not self.counts[peripheral, stream]:
                del self.counts[peripheral, stream]


def read_stats(db: sqlite3.Connection) -> list[StreamStats]:
    """What waits in a store, by stream; reads all of it."""
    columns = "peripheral, stream, count(*), min(wall_ns), sum(length(payload))"
    query = f"SELECT {columns} FROM pending GROUP BY peripheral, stream"
    return [StreamStats(*values) for values in db.execute(query)]
