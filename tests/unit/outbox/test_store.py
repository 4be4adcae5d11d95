"""The queue on disk: order, transactions, quota, damage, and that a full disk does not stop it."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from healthd.outbox.database import is_corrupt
from healthd.outbox.schema import Depth, Entry, Lost, Stored, StreamStats
from healthd.outbox.store import Store
from healthd.outbox.taken import read_records
from healthd.outbox.tally import read_stats
from healthd.samples import Record
from tests.unit.outbox.bench import QUOTA, SmallDisk, checkpoint, entry, failing_disk, look

ALL = 1_000_000

# About 50 pages: a few hundred rows fill it.
SMALL = 200_000

# What _make_room gives up at once.
EVICTED_AT_ONCE = 256


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite3"


def filled(path: Path, count: int, max_bytes: int = QUOTA) -> Store:
    store = Store(path, max_bytes)
    store.append(entry(seq) for seq in range(1, count + 1))
    return store


def seqs(store: Store) -> list[int]:
    return [stored.seq for stored in store.oldest(ALL)]


def written(path: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the last write of each of the store's files that holds data."""
    files = (file for file in path.parent.iterdir() if file.suffix != ".sqlite3-shm")
    return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


# Order and transactions


def test_what_goes_in_comes_out_in_order_and_complete(path: Path) -> None:
    first = entry(7, peripheral="a", clock="unsynced", boot="")
    second = entry(1, stream="undecoded/2a37", payload=b"\x00\xff{}")
    third = entry(2, peripheral="", stream="event/gap")
    with closing(Store(path, QUOTA)) as store:
        rows = store.append([first, second])
        rows += store.append([third])
        expected = [
            Stored(row, *one[:-1]) for row, one in zip(rows, (first, second, third), strict=True)
        ]
        assert store.oldest(ALL) == expected
        assert store.oldest(2) == expected[:2]
        assert rows == sorted(set(rows))
    with closing(Store(path, QUOTA)) as again:
        assert again.oldest(ALL) == expected
        assert again.set_aside is None


def test_streams_to_skip_are_left_out(path: Path) -> None:
    streams = [("a", "beat"), ("b", "beat"), ("a", "other"), ("", "event/gap")]
    with closing(Store(path, QUOTA)) as store:
        store.append(entry(1, peripheral=p, stream=s) for p, s in streams * 2)
        left = [(one.peripheral, one.stream) for one in store.oldest(3, streams[:1])]
        assert left == [streams[1], streams[2], streams[3]]
        assert store.oldest(ALL, streams) == []


def test_a_row_is_never_used_again(path: Path) -> None:
    with closing(filled(path, 3)) as store:
        store.record_outcomes([1, 2, 3], {})
        assert store.append([entry(4)]) == [4]
    with closing(Store(path, QUOTA)) as store:
        store.record_outcomes([4], {})
        assert store.append([entry(5)]) == [5]


def test_a_batch_is_stored_as_a_whole_or_not_at_all(path: Path) -> None:
    with closing(filled(path, 2)) as store:
        # Only the last one does not fit the table.
        batch = [entry(3), entry(4), entry(5, payload="text")]
        with pytest.raises(sqlite3.IntegrityError):
            store.append(batch)
        assert seqs(store) == [1, 2]
        store.append(batch[:2])
        assert seqs(store) == [1, 2, 3, 4]


def test_delivery_and_parking_are_one_transaction(path: Path) -> None:
    with closing(filled(path, 2)) as store:
        with pytest.raises(sqlite3.Error):
            store.record_outcomes([1], {"good": "denied", "bad": b"no text"})  # pyright: ignore[reportArgumentType]
        assert seqs(store) == [1, 2]
        assert look(path, "SELECT * FROM parked") == []


KILLED = """
import os, sys
from pathlib import Path
from healthd.outbox.store import Store
from tests.unit.outbox.bench import entry
store = Store(Path(sys.argv[1]), 1_000_000)
store.append([entry(1), entry(2)])
with store.transaction() as db:
    db.execute("DELETE FROM pending")
    os.kill(os.getpid(), 9)
"""


def test_killed_in_a_transaction_only_what_was_committed_is_there(path: Path) -> None:
    root = Path(__file__).parents[3]
    killed = subprocess.run([sys.executable, "-c", KILLED, path], cwd=root, check=False)
    assert killed.returncode == -9
    with closing(Store(path, QUOTA)) as store:
        assert seqs(store) == [1, 2]
        assert store.set_aside is None


def test_pragmas(path: Path) -> None:
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "wal_autocheckpoint": 256,
        "journal_size_limit": -1,
        "auto_vacuum": 0,
        "temp_store": 2,  # MEMORY
        "page_size": 4096,
        "max_page_count": QUOTA // 4096,
    }
    with closing(filled(path, 1)) as store, store.transaction() as db:
        found = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}
    assert found == expected


# Counters and parked topics


def test_stats_are_exact(path: Path) -> None:
    with closing(Store(path, QUOTA)) as store:
        assert store.depth() == Depth({}, 0, None)
        store.append([entry(5, size=10), entry(4, size=20), entry(9, peripheral="b", size=0)])
        store.append([entry(1, peripheral="", stream="event/gap", size=1)])
        wall_ns = entry(0).wall_ns
        counts = {("strap", "beat"): 2, ("b", "beat"): 1, ("", "event/gap"): 1}
        # Since when they wait is the first one's time.
        assert store.depth() == Depth(counts, 39, wall_ns + 5)
        with closing(sqlite3.connect(path)) as db:
            stats = read_stats(db)
        assert sorted(stats, key=str) == [
            StreamStats("", "event/gap", 1, wall_ns + 1, 3),
            # Since when it waits is the earliest time, not the first row's.
            StreamStats("b", "beat", 1, wall_ns + 9, 2),
            StreamStats("strap", "beat", 2, wall_ns + 4, 34),
        ]
        store.record_outcomes([1, 3], {})
        assert store.depth() == Depth({("strap", "beat"): 1, ("", "event/gap"): 1}, 25, wall_ns + 4)
        store.record_outcomes([2, 4], {})
        assert store.depth() == Depth({}, 0, None)


def test_parked_topics_have_the_latest_reason_and_go_with_it(path: Path) -> None:
    query = "SELECT topic, reason FROM parked ORDER BY topic"
    before = time.time_ns()
    with closing(Store(path, QUOTA)) as store:
        store.record_outcomes([], {"a": "denied", "b": "denied"})
        store.record_outcomes([], {"a": "quota"})
        assert look(path, query) == [("a", "quota"), ("b", "denied")]
        ((since_ns,),) = look(path, "SELECT since_ns FROM parked WHERE topic = 'a'")
        assert before <= since_ns <= time.time_ns()
        store.record_outcomes([], {"a": None, "never parked": None})
        assert look(path, query) == [("b", "denied")]


# Quota


def fill_up(store: Store, first_seq: int, stream: str = "beat") -> tuple[int, list[Lost]]:
    """Append samples of a stream one by one until something is lost; the last number, the loss."""
    for seq in range(first_seq, first_seq + 10_000):
        store.append([entry(seq, stream=stream)])
        if lost := store.pop_lost():
            return seq, lost
    raise AssertionError("the quota is never reached")


def test_a_full_store_gives_up_its_oldest_samples_and_says_exactly_which(path: Path) -> None:
    with closing(Store(path, SMALL)) as store:
        last, lost = fill_up(store, 1)
        wall_ns = entry(0).wall_ns
        gone = EVICTED_AT_ONCE
        assert lost == [Lost("strap", "beat", "run", 1, gone, wall_ns + 1, wall_ns + gone, gone)]
        assert seqs(store) == list(range(gone + 1, last + 1))
        assert store.pop_lost() == []
        # The space is used again: the file keeps to its quota for ever.
        for _ in range(3):
            last, lost = fill_up(store, last + 1)
            assert [one.count for one in lost] == [gone]
        assert seqs(store)[-1] == last
    assert path.stat().st_size <= SMALL


def test_a_full_store_spares_what_is_on_its_way(path: Path) -> None:
    """Evicted, it would be called lost and arrive all the same."""
    with closing(Store(path, SMALL)) as store:
        sent = store.append(entry(seq) for seq in range(1, 11))
        lost: list[Lost] = []
        for seq in range(11, 10_000):
            store.append([entry(seq)], lambda: sent)
            if lost := store.pop_lost():
                break
        (gone,) = lost
        assert (gone.first_seq, gone.last_seq) == (11, 10 + EVICTED_AT_ONCE)
        assert [one.row for one in store.oldest(10)] == sent


def test_losses_are_told_apart_by_stream_and_run_and_know_what_was_delivered(path: Path) -> None:
    with closing(Store(path, SMALL)) as store:
        rows = store.append(
            entry(seq, peripheral=peripheral, run=run)
            for run in ("before", "now")
            for seq in range(1, 21)
            for peripheral in ("a", "b")
        )
        # Numbers 1 and 3 of a, of the run before.
        store.record_outcomes([rows[0], rows[4]], {})
        _, lost = fill_up(store, 1)
    wall_ns = entry(0).wall_ns
    others = sorted((one for one in lost if one.peripheral != "strap"), key=str)
    assert others == [
        Lost("a", "beat", "before", 2, 20, wall_ns + 2, wall_ns + 20, 18),
        Lost("a", "beat", "now", 1, 20, wall_ns + 1, wall_ns + 20, 20),
        Lost("b", "beat", "before", 1, 20, wall_ns + 1, wall_ns + 20, 20),
        Lost("b", "beat", "now", 1, 20, wall_ns + 1, wall_ns + 20, 20),
    ]
    assert sum(one.count for one in lost) == EVICTED_AT_ONCE


def test_samples_go_before_events_and_events_when_nothing_else_is_left(path: Path) -> None:
    with closing(Store(path, SMALL)) as store:
        store.append(entry(n, peripheral="", stream="event/gap") for n in range(1, 101))
        last = 0
        for _ in range(3):
            last, lost = fill_up(store, last + 1)
            assert {one.stream for one in lost} == {"beat"}
        kept = [one.seq for one in store.oldest(ALL, [("strap", "beat")])]
        assert kept == list(range(1, 101))
        # Now events alone: the newest ones stay.
        last, lost = fill_up(store, 101, "event/gap")
        while {one.stream for one in lost} == {"beat"}:
            last, lost = fill_up(store, last + 1, "event/gap")
        assert {one.stream for one in lost} == {"event/gap"}
        assert [one.seq for one in store.oldest(ALL)][-1] == last


def test_a_batch_that_no_quota_holds_costs_its_oldest_and_is_not_an_error(path: Path) -> None:
    """After a failure of minutes memory may hold more than a small quota."""
    with closing(filled(path, 10, SMALL)) as store:
        rows = store.append(entry(seq) for seq in range(11, 3011))
        lost = store.pop_lost()
        kept = seqs(store)
        assert len(rows) == 3000
        assert kept[-1] == 3010
        assert sum(one.count for one in lost) + len(kept) == 3010


# Claiming the quota


def claim(store: Store) -> int:
    steps = 0
    while store.claim_space():
        steps += 1
    return steps


def test_growing_claims_the_quota_once(path: Path) -> None:
    with closing(Store(path, 3 * QUOTA)) as store:
        assert claim(store) > 1
        assert 0.95 * 3 * QUOTA <= path.stat().st_size <= 3 * QUOTA
        assert store.oldest(ALL) == []
        with closing(sqlite3.connect(path)) as other:
            before = other.execute("PRAGMA data_version").fetchall(), written(path)
            assert store.claim_space() is False
            assert (other.execute("PRAGMA data_version").fetchall(), written(path)) == before
    claimed = written(path)
    with closing(Store(path, 3 * QUOTA)) as store:
        assert store.claim_space() is False
        assert path.stat().st_size == claimed[path.name][0]


def test_growing_leaves_what_is_stored(path: Path) -> None:
    with closing(filled(path, 100)) as store:
        claim(store)
        assert seqs(store) == list(range(1, 101))
        assert store.pop_lost() == []


def test_a_half_claimed_quota_is_there_for_samples(path: Path) -> None:
    """Killed, or surprised by an outage, while it grows."""
    store = Store(path, 3 * QUOTA // 2)
    assert store.claim_space()
    store.close()
    with closing(Store(path, 3 * QUOTA // 2)) as store:
        # More than is left beside the megabyte that is claimed by then.
        store.append(entry(seq, size=1000) for seq in range(1, 901))
        assert store.pop_lost() == []
        assert seqs(store) == list(range(1, 901))
        claim(store)
        assert seqs(store) == list(range(1, 901))


def exercise(store: Store, commits: int, each: int = 5) -> None:
    """Append and delete, several times the quota."""
    for commit in range(commits):
        rows = store.append(entry(commit * each + n, size=400) for n in range(each))
        store.record_outcomes(rows[::4], {})


@pytest.mark.parametrize(
    ("quota", "each"),
    # A second of a few straps, of thirty, and what an outage finds in memory.
    [(QUOTA, 5), (QUOTA, 100), (4 * QUOTA, 5), (4 * QUOTA, 100), (4 * QUOTA, 2000)],
)
def test_a_claimed_store_goes_on_when_the_disk_is_full(
    small_disk: SmallDisk, quota: int, each: int
) -> None:
    small_disk.resize("16m")
    path = small_disk.folder / "outbox.sqlite3"
    with closing(Store(path, quota)) as store:
        claim(store)
        small_disk.fill()
        assert os.statvfs(small_disk.folder).f_bavail == 0
        exercise(store, 3 * quota // (each * 500), each)
        assert sum(one.count for one in store.pop_lost()) > EVICTED_AT_ONCE
        store.append([entry(1_000_000)])
        assert seqs(store)[-1] == 1_000_000
        assert os.statvfs(small_disk.folder).f_bavail == 0


def test_without_its_claim_it_would_not(small_disk: SmallDisk) -> None:
    """That the test before this one sees the fault that it is about."""
    path = small_disk.folder / "outbox.sqlite3"
    with closing(filled(path, 10)) as store:
        small_disk.fill()
        with pytest.raises(sqlite3.OperationalError) as caught:
            exercise(store, 1000)
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_FULL
        small_disk.empty()
        exercise(store, 1)


def test_a_disk_smaller_than_the_quota_gives_what_it_has(small_disk: SmallDisk) -> None:
    path = small_disk.folder / "outbox.sqlite3"
    with closing(Store(path, 100 * QUOTA)) as store:
        claim(store)
        exercise(store, 100)
        assert store.pop_lost() == []
        assert len(store.oldest(ALL)) == 100 * 3


# Damage


def garble_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"no database here" * 8)


def garble_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 8192)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


Damage = Callable[[Path], None]
DAMAGES: list[Damage] = [garble_header, garble_middle, truncate]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_and_the_queue_starts_empty(path: Path, damage: Damage) -> None:
    with closing(filled(path, 1000)):
        checkpoint(path)
    damage(path)
    damaged = path.read_bytes()
    with closing(Store(path, QUOTA)) as store:
        assert store.set_aside is not None
        assert store.set_aside.parent == path.parent
        # Nothing is thrown away: somebody may rescue what can be rescued.
        assert store.set_aside.read_bytes() == damaged
        assert store.oldest(ALL) == []
        store.append([entry(1)])
    with closing(Store(path, QUOTA)) as store:
        assert store.set_aside is None
        assert seqs(store) == [1]


def crashed(store: Store, folder: Path) -> tuple[Path, Path]:
    """The file and its log, as kill -9 leaves them."""
    shutil.copytree(store.path.parent, folder)
    return folder / store.path.name, folder / f"{store.path.name}-wal"


def test_what_a_log_can_mend_is_no_damage(path: Path, tmp_path: Path) -> None:
    with closing(filled(path, 1000)) as store:
        file, log = crashed(store, tmp_path / "crashed")
    assert log.stat().st_size > 0
    # All of it is in the log, too.
    garble_header(file)
    with closing(Store(file, QUOTA)) as store:
        assert store.set_aside is None
        assert seqs(store) == list(range(1, 1001))


def test_the_log_of_a_damaged_file_does_not_reach_the_next_one(path: Path, tmp_path: Path) -> None:
    with closing(filled(path, 1000)) as store:
        checkpoint(path)
        # A few pages of the table, and not the first one of the file.
        store.record_outcomes([500], {})
        file, log = crashed(store, tmp_path / "crashed")
    assert log.stat().st_size > 0
    garble_header(file)
    for _ in range(2):
        with closing(Store(file, QUOTA)) as store:
            assert store.oldest(ALL) == []
    assert len(list(file.parent.glob("*.corrupt-*"))) == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_met_while_running_is_known_as_such(path: Path, damage: Damage) -> None:
    store = filled(path, 1000)
    with store.transaction() as db:
        db.execute("PRAGMA cache_size=0")
    # Into the file proper, where damage lasts.
    checkpoint(path)
    damage(path)
    with closing(store):
        with pytest.raises(sqlite3.DatabaseError) as caught:
            store.oldest(ALL)
            store.append([entry(1)])
        assert is_corrupt(caught.value)
        store.start_empty()
        assert store.set_aside is not None
        assert store.oldest(ALL) == []
        store.append([entry(1)])
        assert seqs(store) == [1]


def test_a_disk_that_fails_is_no_damage(path: Path) -> None:
    with closing(filled(path, 1)) as store:
        with failing_disk(), pytest.raises(sqlite3.OperationalError, match="I/O") as caught:
            store.append([entry(2)])
        assert not is_corrupt(caught.value)
        store.append([entry(3)])
        assert seqs(store) == [1, 3]


# Deleted, read-only


@pytest.mark.parametrize("suffixes", [("",), ("", "-wal", "-shm")])
def test_a_file_that_was_deleted_is_made_anew_with_all_it_held(
    path: Path, suffixes: tuple[str, ...]
) -> None:
    with closing(filled(path, 500)) as store:
        store.record_outcomes([1, 2, 250], {"topic": "denied"})
        noted = Record("series", 7, "noon")
        store.append([entry(0, record=noted)])
        before = store.oldest(ALL)
        assert not store.is_deleted()
        for suffix in suffixes:
            Path(f"{path}{suffix}").unlink()
        assert store.is_deleted()
        store.recreate()
        assert not store.is_deleted()
        assert store.oldest(ALL) == before
        assert store.append([entry(501)]) == [502]
        assert look(path, "SELECT topic, reason FROM parked") == [("topic", "denied")]
        assert read_records(store) == {"strap": {("beat", noted): False}}
    with closing(Store(path, QUOTA)) as store:
        assert store.set_aside is None
        assert [one.row for one in store.oldest(ALL)] == [*(one.row for one in before), 502]


def test_a_row_is_not_used_again_in_a_file_that_was_made_anew(path: Path) -> None:
    """Who still holds the old number would delete another sample with it."""
    with closing(filled(path, 3)) as store:
        store.record_outcomes([1, 2, 3], {})
        path.unlink()
        store.recreate()
        assert store.append([entry(4)]) == [4]


def test_a_file_that_was_replaced_counts_as_deleted(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite3"
    Store(other, QUOTA).close()
    with closing(filled(path, 5)) as store:
        other.replace(path)
        assert store.is_deleted()
        store.recreate()
        assert seqs(store) == [1, 2, 3, 4, 5]


def test_a_file_that_cannot_be_made_anew_yet_loses_nothing(small_disk: SmallDisk) -> None:
    """A deleted file that is still open keeps its space, and the disk may not hold it twice."""
    path = small_disk.folder / "outbox.sqlite3"
    with closing(Store(path, 2 * QUOTA)) as store:
        store.append(entry(seq, size=1000) for seq in range(1, 1001))
        before = store.oldest(ALL)
        path.unlink()
        with pytest.raises(sqlite3.OperationalError):
            store.recreate()
        small_disk.resize("20m")
        if store.is_deleted():
            store.recreate()
        assert store.oldest(ALL) == before


def test_a_folder_that_cannot_be_written(small_disk: SmallDisk) -> None:
    path = small_disk.folder / "outbox.sqlite3"
    filled(path, 1).close()
    small_disk.make_read_only()
    before = sorted(small_disk.folder.iterdir())
    # Where its log is kept over a close it may be opened, and fails to be written.
    with pytest.raises(sqlite3.OperationalError) as caught, closing(Store(path, QUOTA)) as store:
        store.append([entry(2)])
    assert not is_corrupt(caught.value)
    with pytest.raises(OSError, match="Read-only"):
        Store(small_disk.folder / "below" / "outbox.sqlite3", QUOTA)
    assert sorted(small_disk.folder.iterdir()) == before


# Against a plain list


class Model(RuleBasedStateMachine):
    """Whatever is done to the store, it holds what a list would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[Stored] = []
        self.next_seq = 1
        self.top_row = 0

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="healthd-store-"))
        self.store = Store(self.folder / "outbox.sqlite3", SMALL)

    @rule(
        sizes=st.lists(st.integers(0, 3000), max_size=30),
        stream=st.sampled_from(["beat", "other", "event/gap"]),
    )
    def append(self, sizes: list[int], stream: str) -> None:
        batch: list[Entry] = []
        for size in sizes:
            batch.append(entry(self.next_seq, stream=stream, size=size))
            self.next_seq += 1
        rows = self.store.append(batch)
        self.evict(self.store.pop_lost())
        assert rows == sorted(rows)
        assert not rows or rows[0] > self.top_row
        self.top_row = max([self.top_row, *rows])
        self.stored += [Stored(row, *one[:-1]) for row, one in zip(rows, batch, strict=True)]

    def evict(self, lost: list[Lost]) -> None:
        """Strike the oldest out, samples first; the summaries have to say the same."""
        count = sum(one.count for one in lost)
        samples_first = sorted(self.stored, key=lambda one: (one.stream == "event/gap", one.row))
        gone = {one.row for one in samples_first[:count]}
        told: dict[str, list[int]] = {}
        for one in (one for one in self.stored if one.row in gone):
            told.setdefault(one.stream, []).append(one.seq)
        spans = {one.stream: (one.first_seq, one.last_seq) for one in lost}
        assert spans.keys() == told.keys()
        for stream, numbers in told.items():
            ours = [one for one in lost if one.stream == stream]
            assert min(one.first_seq for one in ours) == min(numbers)
            assert max(one.last_seq for one in ours) == max(numbers)
            assert sum(one.count for one in ours) == len(numbers)
        self.stored = [one for one in self.stored if one.row not in gone]

    @rule(which=st.sets(st.integers(0, 200), max_size=40))
    def deliver(self, which: set[int]) -> None:
        rows = {self.stored[n].row for n in which if n < len(self.stored)}
        self.store.record_outcomes(rows, {})
        self.stored = [one for one in self.stored if one.row not in rows]

    @rule()
    def grow(self) -> None:
        self.store.claim_space()
        assert self.store.pop_lost() == []

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.store.path, SMALL)
        assert self.store.set_aside is None

    @rule()
    def lose_the_file(self) -> None:
        self.store.path.unlink()
        self.store.recreate()

    @rule(limit=st.integers(1, 20), skip=st.sets(st.sampled_from(["beat", "other", "event/gap"])))
    def read(self, limit: int, skip: set[str]) -> None:
        wanted = [one for one in self.stored if one.stream not in skip]
        found = self.store.oldest(limit, [("strap", stream) for stream in skip])
        assert found == wanted[:limit]

    @invariant()
    def holds_the_same(self) -> None:
        if hasattr(self, "store"):
            assert self.store.oldest(ALL) == self.stored
            counts = Counter((one.peripheral, one.stream) for one in self.stored)
            size = sum(len(one.payload) for one in self.stored)
            oldest_ns = self.stored[0].wall_ns if self.stored else None
            assert self.store.depth() == Depth(counts, size, oldest_ns)
            assert self.store.path.stat().st_size <= SMALL

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)


TestAgainstAList = Model.TestCase
TestAgainstAList.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
