"""Rows and tables that are damaged one by one, and what no row can hold."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from healthd.outbox.missing import Block, Place, Sum
from healthd.outbox.schema import VERSION, WITHOUT_CHECKSUMS, Lost
from healthd.outbox.store import Store
from healthd.samples import Stamp
from tests.unit.outbox.bench import (
    ALL,
    OVERDUE_S,
    QUOTA,
    Beat,
    Bench,
    Service,
    entry,
    filled,
    next_history,
    reported_changes,
    reported_gaps,
    select,
    seqs_in,
)


def change(path: Path, *statements: str) -> None:
    """Change the file behind the store's back, and the triggers' back."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA ignore_check_constraints = 1")
        for statement in statements:
            db.execute(statement)
        db.commit()


# One row of a hundred, by the column that has a wrong bit.
ROW_DAMAGES = [
    "payload = CAST(replace(CAST(payload AS TEXT), 'x', 'y') AS BLOB)",
    "peripheral = CAST(x'ff737472' AS TEXT)",
    "peripheral = 'strbp'",
    "stream = 'beau'",
    "schema = 'beat/3'",
    "run = 'rvn'",
    "seq = 40",
    "seq = 50 + (1 << 40)",
    "wall_ns = -1",
    "mono_ns = 0",
    "clock = 'unsynced'",
    "boot = 'root'",
    "checksum = checksum + 1",
]


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("what", ROW_DAMAGES)
def test_a_damaged_row_is_set_aside_and_named_and_the_others_are_read(
    path: Path, what: str, *, running: bool
) -> None:
    """D2, D3, D16: one wrong byte in a stored payload or text."""
    store = filled(path, 100)
    if not running:
        store.close()
    change(path, f"UPDATE pending SET {what} WHERE row = 50")
    store = store if running else Store(path, QUOTA)
    with closing(store):
        assert seqs_in(store) == [*range(1, 50), *range(51, 101)]
        found = store.report.pop()
        ((reason, lost),) = found.lost
        assert reason == "damaged"
        assert (lost.peripheral, lost.stream, lost.run) == ("strap", "beat", "run")
        assert (lost.first_seq, lost.last_seq, lost.count) == (50, 50, 1)
        assert [name for name, _ in found.notices] == ["damaged"]
        (kept,) = path.parent.glob("outbox.rows-*")
        assert kept.name in found.notices[0][1]
        assert sum(store.depth().counts.values()) == 99
        assert store.append([entry(101)])[0] > 100
    with closing(Store(path, QUOTA)) as store:
        assert len(seqs_in(store)) == 100
        assert store.report.pop().lost == []


async def test_what_is_left_of_a_damaged_row_is_reported_as_events(bench: Bench) -> None:
    filled(bench.path, 100).close()
    change(bench.path, "UPDATE pending SET payload = x'7b7d' WHERE row = 7")
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        assert [stored.seq for stored in await next_history(outbox)][:8] == [*range(1, 7), 8, 9]
        (gap,) = await reported_gaps(outbox)
        assert (gap["reason"], gap["first_seq"], gap["last_seq"]) == ("damaged", 7, 7)
        assert (await outbox.stats())["state"] == "ok"


# Other tables

TABLE_DAMAGES = [
    "UPDATE tally SET count = count + 8",
    "UPDATE tally SET count = 1",
    "UPDATE tally SET payload_bytes = 1",
    "UPDATE tally SET peripheral = CAST(x'ff' AS TEXT)",
    "UPDATE tally SET stream = 'other'",
    "DELETE FROM tally",
    "UPDATE runs SET id = CAST(x'ff' AS TEXT)",
    "UPDATE certain SET run = 'none'",
    "UPDATE certain SET seq = -5",
    "INSERT INTO certain VALUES ('x', 'y', 'z', 1, 1)",
    "UPDATE records SET stream = CAST(x'ff' AS TEXT)",
    "UPDATE parked SET reason = CAST(x'ff' AS TEXT)",
    "UPDATE sqlite_sequence SET seq = 3",
    "UPDATE sqlite_sequence SET seq = 9223372036854775807",
    "UPDATE sqlite_sequence SET seq = 'x'",
    "DELETE FROM sqlite_sequence",
]


@pytest.mark.parametrize("statement", TABLE_DAMAGES)
async def test_a_damaged_table_heals_and_loses_no_sample(bench: Bench, statement: str) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(50):
            outbox.put(bench.sample(OVERDUE_S))
        outbox.note_parked(("strap", "beat"), "topic", "denied")
        await service.rounds()
    change(bench.path, statement)
    bench.next_run()
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        assert (await outbox.stats())["streams"]["strap/beat"] == 51
        found: list[int] = []
        while len(found) < 51:
            batch = await next_history(outbox)
            found += [stored.seq for stored in batch if stored.peripheral]
            for stored in batch:
                outbox.acknowledge_stored(stored)
        assert sorted(found) == sorted([*range(1, 51), 1])
        await service.rounds()
        assert await reported_gaps(outbox) == []
        assert (await outbox.stats())["state"] == "ok"
        assert (await outbox.stats())["on_disk"] == 0


# What no row can hold


@pytest.mark.parametrize("wall_ns", [2**63, 253_402_300_800 * 10**9, -(2**70)])
async def test_a_time_that_cannot_be_stored_stops_no_commit(bench: Bench, wall_ns: int) -> None:
    """D1: memory grew without bound, and other straps' samples were lost at the stop."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        first, last = bench.sample(OVERDUE_S), bench.sample(OVERDUE_S)
        stamp = Stamp(wall_ns, first.stamp.mono_ns, "synced")
        # The run bounds times as well: this is the second door.
        bad = bench.run.sample("other", "beat", Beat())._replace(stamp=stamp)
        for sample in (first, bad, last):
            outbox.put(sample)
        await service.rounds()
        assert bench.stored_seqs() == [1, 2]
        (gap,) = await reported_gaps(outbox)
        assert (gap["peripheral"], gap["reason"], gap["count"]) == ("other", "not_storable", 1)
        assert (await outbox.stats())["state"] == "ok"


async def test_what_cannot_be_stored_is_one_event_of_the_outbox(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        stamp = Stamp(2**64, 1, "synced")
        outbox.put(bench.run.sample("other", "beat", Beat())._replace(stamp=stamp))
        await service.rounds()
        assert await reported_changes(outbox) == ["damaged"]


# Files of version 2

VERSION_2 = (
    "ALTER TABLE pending DROP COLUMN checksum",
    "DROP TABLE salvage",
    "PRAGMA application_id = 0",
    f"PRAGMA user_version = {WITHOUT_CHECKSUMS}",
)


def as_version_2(path: Path, count: int) -> None:
    """Create a file as the version before checksums has left it."""
    filled(path, count).close()
    change(path, *VERSION_2)


def test_rows_of_an_older_version_are_read_and_new_ones_have_checksums(path: Path) -> None:
    as_version_2(path, 3)
    with closing(Store(path, QUOTA)) as store:
        assert store.notice is None
        store.append([entry(4)])
        assert seqs_in(store) == [1, 2, 3, 4]
        assert select(path, "PRAGMA user_version") == [(VERSION,)]
        assert select(path, "SELECT checksum IS NULL FROM pending") == [(1,), (1,), (1,), (0,)]
    with closing(Store(path, QUOTA)) as store:
        assert store.notice is None
        assert seqs_in(store) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "what",
    [
        "payload = x'7b2261'",
        "payload = x'5b5d'",
        "seq = 9",
        "run = 'other'",
        "clock = 'never'",
        "stream = 'a#b'",
        "peripheral = CAST(x'ff' AS TEXT)",
    ],
)
def test_a_damaged_row_of_an_older_version_is_recognised_by_its_form(path: Path, what: str) -> None:
    as_version_2(path, 3)
    change(path, f"UPDATE pending SET {what} WHERE row = 2")
    with closing(Store(path, QUOTA)) as store:
        assert seqs_in(store) == [1, 3]
        ((reason, lost),) = store.report.pop().lost
        assert (reason, lost.first_seq, lost.count) == ("damaged", 2, 1)


def test_an_upgrade_takes_as_long_however_many_rows_there_are(path: Path) -> None:
    """No row is rewritten, so the log stays small."""
    as_version_2(path, 2500)
    size = path.stat().st_size
    with closing(Store(path, QUOTA)) as store:
        assert Path(f"{path}-wal").stat().st_size < size / 10
        assert len(store.oldest(ALL)) == 2500


# What is missing from a block

STRAP, SCALE = ("strap", "beat"), ("scale", "weight")


def block(*seqs: int, before: int = 0) -> Block:
    made = Block({STRAP: Place("run", before, before)} if before else {})
    for seq in seqs:
        made.add(STRAP, Place("run", seq, seq), 10)
    return made


def tally(rows: int) -> dict[tuple[str, str], Sum]:
    return {STRAP: Sum(rows, 10 * rows)}


@pytest.mark.parametrize(
    ("made", "rows", "first", "last"),
    [
        (lambda: block(1, 2, 4, 5), 5, 3, 3),
        (lambda: block(1, 2, 7, 9), 6, 3, 8),
        (lambda: block(4, 5, before=1), 4, 2, 3),
        (lambda: block(1, 2), 5, 3, 5),
        (lambda: block(8, 9), 4, 6, 11),
        (lambda: block(before=4), 2, 5, 6),
    ],
)
def test_numbers_of_lost_rows_follow_from_those_around_them(
    made: Callable[[], Block], rows: int, first: int, last: int
) -> None:
    (lost,), unknown = made().missing(tally(rows))
    assert (lost.run, lost.first_seq, lost.last_seq, unknown) == ("run", first, last, 0)


def test_of_a_stream_without_a_row_only_the_count_is_known() -> None:
    (lost,), _ = Block({}).missing({SCALE: Sum(2, 20)})
    assert lost == Lost(*SCALE, "", 0, 0, 0, 0, 2)
    gap = lost.as_gap("damaged").fields()
    assert gap["count"] == 2
    assert gap["first_seq"] is None


def test_a_damaged_row_of_which_nothing_is_known_is_counted() -> None:
    made = block(1, 2)
    made.add_damaged((3, None, 5, "", "", "", 0, 0, "", "", b""))
    assert made.missing(tally(2)) == ([], 1)
    assert made.missing(None) == ([], 1)
