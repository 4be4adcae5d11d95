"""Tables of the outbox, and the rows that go in and out."""

from dataclasses import dataclass
from typing import NamedTuple

from healthd.events import Gap
from healthd.samples import ClockState, Record, Stamp, utc_text

PRAGMAS = (
    "journal_mode=WAL",
    # FULL costs little where writing is rare, and a power cut costs nothing.
    "synchronous=FULL",
    # 1 MB: the log stays small, and with it what a start has to read back.
    "wal_autocheckpoint=256",
    # The log keeps its size, so that a full disk finds its space already taken.
    "journal_size_limit=-1",
    "auto_vacuum=NONE",
    # Debian builds SQLite to overwrite every freed page; this overwrites where it costs no write.
    "secure_delete=FAST",
    "temp_store=MEMORY",
    # 256 KiB: what is read once, from front to back, gains nothing by the 2 MB that are usual.
    "cache_size=-256",
)

TABLES = """
CREATE TABLE IF NOT EXISTS pending (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    peripheral TEXT NOT NULL, stream TEXT NOT NULL, schema TEXT NOT NULL,
    run TEXT NOT NULL, seq INTEGER NOT NULL,
    wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, clock TEXT NOT NULL, boot TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, started_ns INTEGER NOT NULL, clean INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS certain (
    run TEXT NOT NULL, peripheral TEXT NOT NULL, stream TEXT NOT NULL,
    seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
    PRIMARY KEY (run, peripheral, stream)
) STRICT;
CREATE TABLE IF NOT EXISTS parked (
    topic TEXT PRIMARY KEY, since_ns INTEGER NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS records (
    peripheral TEXT NOT NULL, stream TEXT NOT NULL,
    series TEXT NOT NULL, number INTEGER NOT NULL, made TEXT NOT NULL, whole INTEGER NOT NULL,
    PRIMARY KEY (peripheral, stream, series, number, made)
) STRICT;
"""


NOTE_RECORD = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)"
"""Peripheral, stream, the record, and whether all that are older were taken as well."""


class Entry(NamedTuple):
    """A sample as it goes to disk.

    Attributes:
        peripheral: id of the peripheral; empty for the gateway's own events.
        stream: topic below the peripheral's, or below the gateway's.
        schema: name and version of the payload's keys.
        run: the run of the daemon that took it.
        seq: its number in the stream and run.
        wall_ns: when it was taken, Unix time.
        mono_ns: the same on the monotonic clock of ``boot``.
        clock: ``synced`` or ``unsynced`` when it was taken.
        boot: id of the boot; empty where unknown.
        payload: the JSON to publish.
        record: which of its device's records it is; noted in the same transaction.
    """

    peripheral: str
    stream: str
    schema: str
    run: str
    seq: int
    wall_ns: int
    mono_ns: int
    clock: ClockState
    boot: str
    payload: bytes
    record: Record | None = None


class Stored(NamedTuple):
    """A sample as it comes back: ``row`` is its place in the queue, the rest is as in Entry."""

    row: int
    peripheral: str
    stream: str
    schema: str
    run: str
    seq: int
    wall_ns: int
    mono_ns: int
    clock: ClockState
    boot: str
    payload: bytes

    @property
    def stamp(self) -> Stamp:
        """When it was taken."""
        return Stamp(self.wall_ns, self.mono_ns, self.clock)


@dataclass(frozen=True, slots=True)
class Lost:
    """Samples of one stream and run that are gone.

    Attributes:
        first_seq: number of the first one.
        last_seq: number of the last one.
        first_ns: when the first one was taken.
        last_ns: when the last one was taken.
        count: how many; fewer than the numbers span where some in between were delivered.
    """

    peripheral: str
    stream: str
    run: str
    first_seq: int
    last_seq: int
    first_ns: int
    last_ns: int
    count: int

    def as_gap(self, reason: str) -> Gap:
        """The event that names what is lost."""
        return Gap(
            peripheral=self.peripheral,
            stream=self.stream,
            reason=reason,
            first=utc_text(self.first_ns),
            last=utc_text(self.last_ns),
            run=self.run,
            first_seq=self.first_seq,
            last_seq=self.last_seq,
            count=self.count,
        )


ENTRY_COLUMNS = Entry._fields[:-1]
"""Those of the table that an entry goes into; its record goes into one of its own."""


class Depth(NamedTuple):
    """What waits on disk.

    Attributes:
        counts: samples, by peripheral and stream.
        payload_bytes: of all of them.
        oldest_ns: when the first one in the queue was taken, Unix time; None where none waits.
    """

    counts: dict[tuple[str, str], int]
    payload_bytes: int
    oldest_ns: int | None


@dataclass(frozen=True, slots=True)
class StreamStats:
    """What waits of one stream."""

    peripheral: str
    stream: str
    count: int
    oldest_ns: int
    payload_bytes: int
