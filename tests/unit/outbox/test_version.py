"""Files of other versions: older ones are upgraded in place, all others are set aside by name."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from structlog.typing import EventDict

from healthd.outbox.schema import COUNTING, VERSION, StreamStats
from healthd.outbox.store import Store
from healthd.outbox.tally import read_stats
from tests.unit.outbox.bench import (
    ALL,
    EVICTED_AT_ONCE,
    OVERDUE_S,
    QUOTA,
    Bench,
    Service,
    checkpoint,
    entry,
    filled,
    next_history,
    reported_changes,
    select,
    seqs_in,
)

# The file as healthd wrote it before it had versions, taken from that code.
UNVERSIONED = """
CREATE TABLE pending (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    peripheral TEXT NOT NULL, stream TEXT NOT NULL, schema TEXT NOT NULL,
    run TEXT NOT NULL, seq INTEGER NOT NULL,
    wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, clock TEXT NOT NULL, boot TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE TABLE runs (
    id TEXT PRIMARY KEY, started_ns INTEGER NOT NULL, clean INTEGER NOT NULL
) STRICT;
CREATE TABLE certain (
    run TEXT NOT NULL, peripheral TEXT NOT NULL, stream TEXT NOT NULL,
    seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
    PRIMARY KEY (run, peripheral, stream)
) STRICT;
CREATE TABLE parked (
    topic TEXT PRIMARY KEY, since_ns INTEGER NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE records (
    peripheral TEXT NOT NULL, stream TEXT NOT NULL,
    series TEXT NOT NULL, number INTEGER NOT NULL, made TEXT NOT NULL, whole INTEGER NOT NULL,
    PRIMARY KEY (peripheral, stream, series, number, made)
) STRICT;
"""

OLD_SAMPLES = 5000


def execute(path: Path, *statements: str) -> None:
    """Change the file as another program does."""
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def insert_as_before(path: Path, first: int, last: int) -> None:
    """Insert samples as healthd did before it had versions: it knows nothing of a tally."""
    columns = "peripheral, stream, schema, run, seq, wall_ns, mono_ns, clock, boot, payload"
    marks = ", ".join("?" * 10)
    with closing(sqlite3.connect(path)) as db:
        rows = [entry(seq)[:-1] for seq in range(first, last + 1)]
        db.executemany(f"INSERT INTO pending ({columns}) VALUES ({marks})", rows)
        db.commit()


@pytest.fixture
def unversioned(path: Path) -> Path:
    """A file that healthd wrote before it had versions, with a backlog."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(UNVERSIONED)
        db.execute("INSERT INTO parked VALUES ('topic', 1, 'denied')")
        db.commit()
    insert_as_before(path, 1, OLD_SAMPLES)
    return path


def version(path: Path) -> int:
    return select(path, "PRAGMA user_version")[0][0]


def check_all(store: Store) -> None:
    while store.check_step():
        pass


def stats(path: Path) -> list[StreamStats]:
    with closing(sqlite3.connect(path)) as db:
        return read_stats(db)


# Upgrade


def test_a_file_without_a_version_is_upgraded_and_keeps_everything(unversioned: Path) -> None:
    with closing(Store(unversioned, 4 * QUOTA)) as store:
        assert store.notice is None
        assert seqs_in(store) == list(range(1, OLD_SAMPLES + 1))
        # Samples come and go before the old ones are counted.
        store.append([entry(OLD_SAMPLES + 1, stream="other")])
        store.record_outcomes([1, 2, 2500], {})
        assert version(unversioned) == COUNTING
        wanted = store.oldest(3, [("strap", "other")])
        assert [stored.seq for stored in wanted] == [3, 4, 5]
        rest = OLD_SAMPLES - 3
        assert {(s.stream, s.count) for s in stats(unversioned)} == {("beat", rest), ("other", 1)}
        check_all(store)
        assert version(unversioned) == VERSION
        assert store.depth().counts == {("strap", "beat"): rest, ("strap", "other"): 1}
        assert store.depth().payload_bytes == sum(len(s.payload) for s in store.oldest(ALL))
    assert select(unversioned, "SELECT * FROM parked") == [("topic", 1, "denied")]
    assert not list(unversioned.parent.glob("*-1*"))


def test_an_upgrade_that_was_interrupted_is_completed(unversioned: Path) -> None:
    with closing(Store(unversioned, 4 * QUOTA)) as store:
        assert store.check_step()
    assert version(unversioned) == COUNTING
    with closing(Store(unversioned, 4 * QUOTA)) as store:
        check_all(store)
        assert store.depth().counts == {("strap", "beat"): OLD_SAMPLES}


def test_a_full_file_without_a_version_is_upgraded_without_a_loss(path: Path) -> None:
    """The tally of its rows needs room that a full file does not have at first."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(UNVERSIONED)
    insert_as_before(path, 1, 20_000)
    # Many streams make a large tally.
    execute(path, "UPDATE pending SET stream = 'stream-' || (row % 500)")
    execute(path, "VACUUM")
    quota = path.stat().st_size + 3 * 4096
    with closing(Store(path, quota)) as store:
        for _ in range(50):
            store.check_step()
        assert version(path) == COUNTING, "there was room for the tally"
        assert len(store.oldest(ALL)) == 20_000
        assert sum(row.count for row in stats(path)) == 20_000
        store.record_outcomes(range(1, 5001), {})
        check_all(store)
        assert version(path) == VERSION
        assert sum(store.depth().counts.values()) == 15_000
        assert store.pop_lost() == []


def test_an_upgrade_for_which_a_full_file_has_no_page_evicts_and_reports_it(
    unversioned: Path,
) -> None:
    execute(unversioned, "VACUUM")
    checkpoint(unversioned)
    with closing(Store(unversioned, unversioned.stat().st_size)) as store:
        assert store.notice is None
        (lost,) = store.pop_lost()
        assert (lost.first_seq, lost.count) == (1, EVICTED_AT_ONCE)
        assert seqs_in(store) == list(range(EVICTED_AT_ONCE + 1, OLD_SAMPLES + 1))
        check_all(store)
        assert store.depth().counts == {("strap", "beat"): OLD_SAMPLES - EVICTED_AT_ONCE}


# Other files

NEWER = ("PRAGMA user_version = 7",)
MORE_COLUMNS = ("ALTER TABLE pending ADD COLUMN colour INTEGER",)
OTHER_TYPE = ("ALTER TABLE runs RENAME COLUMN clean TO how",)
MORE_TABLES = ("CREATE TABLE batches (first INTEGER)",)
LESS_TABLES = ("DROP TABLE certain",)
NEGATIVE = ("PRAGMA user_version = -3",)


@pytest.mark.parametrize(
    ("statements", "label", "found"),
    [
        (NEWER, "version-7", "version 7"),
        (NEGATIVE, "version--3", "version -3"),
        (MORE_COLUMNS, "unknown", "columns in table pending"),
        (OTHER_TYPE, "unknown", "columns in table runs"),
        (MORE_TABLES, "unknown", "table batches"),
        (LESS_TABLES, "unknown", "no table certain"),
    ],
)
def test_a_file_of_another_version_is_set_aside_by_name_and_not_changed(
    path: Path, statements: tuple[str, ...], label: str, found: str
) -> None:
    filled(path, 300).close()
    execute(path, *statements)
    before = path.read_bytes()
    with closing(Store(path, QUOTA)) as store:
        assert store.notice is not None
        assert store.set_aside is not None
        change, detail = store.notice
        assert change == "other_version"
        assert found in detail
        assert store.set_aside.name in detail
        assert f".{label}-" in store.set_aside.name
        store.append([entry(1)])
        assert seqs_in(store) == [1]
    assert store.set_aside.read_bytes() == before
    with closing(Store(path, QUOTA)) as store:
        assert store.notice is None
        assert seqs_in(store) == [1]


def test_another_program_s_database_is_set_aside(path: Path) -> None:
    path.parent.mkdir()
    execute(path, "CREATE TABLE notes (text TEXT)", "INSERT INTO notes VALUES ('mine')")
    with closing(Store(path, QUOTA)) as store:
        assert store.notice is not None
        assert store.set_aside is not None
    assert select(store.set_aside, "SELECT text FROM notes") == [("mine",)]


def test_what_is_only_in_the_log_goes_with_the_file(path: Path, tmp_path: Path) -> None:
    """As kill -9 leaves a file: its newest samples are in the log."""
    with closing(filled(path, 300)) as store:
        with store.transaction() as db:
            db.execute("PRAGMA user_version = 7")
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for suffix in ("", "-wal"):
            name = f"{path.name}{suffix}"
            (crashed / name).write_bytes(Path(f"{path}{suffix}").read_bytes())
    with closing(sqlite3.connect(f"file:{crashed / path.name}?immutable=1", uri=True)) as db:
        # Without the log it is a file of this version, without any sample.
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert db.execute("SELECT count(*) FROM pending").fetchone() == (0,)
    with closing(Store(crashed / path.name, QUOTA)) as store:
        assert store.set_aside is not None
        assert store.oldest(ALL) == []
    assert select(store.set_aside, "SELECT count(*) FROM pending") == [(300,)]


def test_a_file_that_was_set_aside_can_be_used_again(path: Path) -> None:
    """Its version of healthd finds everything, if a person installs it and renames the file."""
    filled(path, 300).close()
    execute(path, "PRAGMA user_version = 7")
    with closing(Store(path, QUOTA)) as store:
        aside = store.set_aside
    assert aside is not None
    execute(aside, f"PRAGMA user_version = {VERSION}")
    aside.replace(path)
    with closing(Store(path, QUOTA)) as store:
        assert seqs_in(store) == list(range(1, 301))


async def test_live_samples_are_stored_and_the_change_is_reported_once(
    bench: Bench, log: list[EventDict]
) -> None:
    filled(bench.path, 10).close()
    execute(bench.path, "PRAGMA user_version = 7")
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        assert (await outbox.stats())["state"] == "ok"
        assert [stored.stream for stored in await next_history(outbox)] == ["beat"]
        assert await reported_changes(outbox) == ["other_version"]
    lines = [line for line in log if line["event"] == "outbox"]
    assert [line["change"] for line in lines] == ["other_version"]
    assert "version 7" in lines[0]["detail"]
