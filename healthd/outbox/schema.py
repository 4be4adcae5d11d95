"""The outbox's tables, and the rows that are written and read."""

from dataclasses import dataclass
from typing import NamedTuple

from healthd.events import Gap
from healthd.samples import ClockState, Record, Stamp, utc_text

Stream = tuple[str, str]
"""Peripheral and stream."""

PRAGMAS = (
    "journal_mode=WAL",
    # FULL costs little because writes are rare, and nothing is lost in a power cut.
    "synchronous=FULL",
    # 1 MB: keeps the log small, and with it what has to be read back at the start.
    "wal_autocheckpoint=256",
    # The log never shrinks: on a full disk it could not grow again.
    "journal_size_limit=-1",
    "auto_vacuum=NONE",
    # Debian's SQLite overwrites every freed page by default. FAST does so only if it costs no extra
    # write.
    "secure_delete=FAST",
    "temp_store=MEMORY",
    # 256 KiB: rows are read once, from front to back, so the usual 2 MB would gain nothing.
    "cache_size=-256",
)

VERSION = 3
"""The file's ``user_version``. It is 0 in files of healthd before there were versions."""

WITHOUT_CHECKSUMS = 2
"""The version of files whose rows have no checksums. Their rows keep none until they are gone."""

COUNTING = 1
"""The version of a file while its rows are counted; everything else is already as in 3."""

BLOCK_ROWS = 2048
"""Rows in a block of ``tally``: few blocks to add up, and few rows to read in each of them."""

TABLES = f"""
CREATE TABLE IF NOT EXISTS pending (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    peripheral TEXT NOT NULL, stream TEXT NOT NULL, schema TEXT NOT NULL,
    run TEXT NOT NULL, seq INTEGER NOT NULL,
    wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, clock TEXT NOT NULL, boot TEXT NOT NULL,
    payload BLOB NOT NULL, checksum INTEGER
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
CREATE TABLE IF NOT EXISTS tally (
    block INTEGER NOT NULL, peripheral TEXT NOT NULL, stream TEXT NOT NULL,
    count INTEGER NOT NULL, payload_bytes INTEGER NOT NULL, oldest_ns INTEGER,
    PRIMARY KEY (block, peripheral, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS salvage (
    file TEXT PRIMARY KEY, after INTEGER NOT NULL, next INTEGER NOT NULL, last INTEGER NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS pending_added AFTER INSERT ON pending BEGIN
    INSERT INTO tally VALUES (
        new.row / {BLOCK_ROWS}, new.peripheral, new.stream, 1, length(new.payload), new.wall_ns
    ) ON CONFLICT DO UPDATE SET
        count = count + 1,
        payload_bytes = payload_bytes + excluded.payload_bytes,
        oldest_ns = min(oldest_ns, excluded.oldest_ns);
END;
CREATE TRIGGER IF NOT EXISTS pending_removed AFTER DELETE ON pending BEGIN
    UPDATE tally SET
        count = count - 1, payload_bytes = payload_bytes - length(old.payload), oldest_ns = NULL
    WHERE block = old.row / {BLOCK_ROWS} AND peripheral = old.peripheral AND stream = old.stream;
    DELETE FROM tally
    WHERE block = old.row / {BLOCK_ROWS} AND peripheral = old.peripheral AND stream = old.stream
        AND count <= 0;
END;
"""
"""``checksum`` is NULL in rows that an older version has written, see ``checksum.py``.

``salvage`` says how far the rows of damaged files were copied, see ``salvage.py``.

``tally`` has an entry for each stream in each block; triggers keep it right in any transaction.

``oldest_ns`` is NULL once a row of the entry is gone: then only the rest of its rows has that time.
"""


INSERT = f"INSERT INTO pending VALUES ({', '.join('?' * 12)})"
"""Parameters: the number of the row, the fields of the entry without the record, the checksum."""

NOTE_RECORD = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)"
"""Parameters: peripheral, stream, the record's fields, whether all older records were fetched."""

NOTE_NEW_RECORD = "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, FALSE)"
"""The same for the record of a sample. A transfer may be noted as complete before its last sample
is committed, and must stay complete."""


class Entry(NamedTuple):
    """A sample as it is written to disk.

    Attributes:
        peripheral: id of the peripheral; empty for the gateway's own events.
        stream: topic relative to the peripheral's topic; for events, to the gateway's.
        schema: name and version of the payload's keys.
        run: id of the daemon's run that took it.
        seq: its number within the stream and run.
        wall_ns: when it was taken; Unix time.
        mono_ns: the same on the monotonic clock of ``boot``.
        clock: ``synced`` or ``unsynced`` when it was taken.
        boot: id of the boot; empty if unknown.
        payload: the JSON to publish.
        record: the device's record that it was made of; noted in the same transaction.
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
    """A sample as it is read back: ``row`` is its place in the queue, the rest is as in Entry."""

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
        """When the sample was taken."""
        return Stamp(self.wall_ns, self.mono_ns, self.clock)


@dataclass(frozen=True, slots=True)
class Lost:
    """Samples of one stream and run that are lost.

    Attributes:
        first_seq: number of the first one; 0 if it is not known.
        last_seq: number of the last one; 0 if it is not known.
        first_ns: when the first one was taken.
        last_ns: when the last one was taken.
        count: how many; fewer than the numbers span if some in between were delivered.
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
        """Return the event that reports the loss."""
        return Gap(
            peripheral=self.peripheral,
            stream=self.stream,
            reason=reason,
            first=utc_text(storable_ns(self.first_ns)),
            last=utc_text(storable_ns(self.last_ns)),
            run=self.run,
            # 0: not known.
            first_seq=self.first_seq or None,
            last_seq=self.last_seq or None,
            count=self.count,
        )


def storable_ns(wall_ns: int) -> int:
    """Return the time itself, or the nearest one that the store can hold: 1677 to 2262."""
    return min(max(wall_ns, -(2**63)), 2**63 - 1)


class Depth(NamedTuple):
    """How much is stored.

    Attributes:
        counts: samples by peripheral and stream.
        payload_bytes: bytes of all payloads.
        oldest_ns: when the first sample in the queue was taken, Unix time; None if it is empty.
    """

    counts: dict[Stream, int]
    payload_bytes: int
    oldest_ns: int | None


@dataclass(frozen=True, slots=True)
class StreamStats:
    """How much of one stream is stored, and when its oldest sample was taken; Unix time."""

    peripheral: str
    stream: str
    count: int
    oldest_ns: int
    payload_bytes: int
