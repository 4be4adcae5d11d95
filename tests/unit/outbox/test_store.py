"""The store: order, transactions, eviction, and a comparison with a plain list."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from healthd.outbox.schema import Depth, Entry, Lost, Stored, Stream
from healthd.outbox.store import Store
from healthd.samples import Record
from tests.unit.outbox.bench import (
    ALL,
    EVICTED_AT_ONCE,
    QUOTA,
    entry,
    filled,
    select,
    seqs_in,
)

# About 50 pages: a few hundred rows fill it.
SMALL = 200_000

# How many samples a test appends per commit to fill the store.
AT_ONCE = 10

# Order and transactions


def test_samples_are_read_back_complete_and_in_order(path: Path) -> None:
    first = entry(7, peripheral="a", clock="unsynced", boot="")
    second = entry(1, stream="undecoded/2a37", payload=b"\x00\xff{}")
    third = entry(2, peripheral="", stream="event/gap")
    with closing(Store(path, QUOTA)) as store:
        rows = store.append([first, second])
        rows += store.append([third])
        entries = (first, second, third)
        expected = [Stored(row, *each[:-1]) for row, each in zip(rows, entries, strict=True)]
        assert store.oldest(ALL) == expected
        assert store.oldest(2) == expected[:2]
        assert rows == sorted(set(rows))
    with closing(Store(path, QUOTA)) as again:
        assert again.oldest(ALL) == expected
        assert again.set_aside is None


def test_skipped_streams_are_left_out(path: Path) -> None:
    streams = [("a", "beat"), ("b", "beat"), ("a", "other"), ("", "event/gap")]
    with closing(Store(path, QUOTA)) as store:
        store.append(entry(1, peripheral=p, stream=s) for p, s in streams * 2)
        left = [(stored.peripheral, stored.stream) for stored in store.oldest(3, streams[:1])]
        assert left == [streams[1], streams[2], streams[3]]
        assert store.oldest(ALL, streams) == []


def test_a_row_number_is_never_used_again(path: Path) -> None:
    with closing(filled(path, 3)) as store:
        store.record_outcomes([1, 2, 3], {})
        assert store.append([entry(4)]) == [4]
    with closing(Store(path, QUOTA)) as store:
        store.record_outcomes([4], {})
        assert store.append([entry(5)])[0] > 4


def test_what_cannot_be_stored_is_named_and_the_rest_is_stored(path: Path) -> None:
    """D1: one sample of a clock in the far future stopped every commit."""
    bad: dict[int, dict[str, Any]] = {
        4: {"wall_ns": 2**63},
        6: {"mono_ns": -(2**63) - 1},
        7: {"payload": b""},
        8: {"payload": "text"},
        9: {"clock": None},
        10: {"boot": "\ud800"},
        11: {"record": Record("", 2**64, "")},
    }
    with closing(filled(path, 2)) as store:
        rows = store.append(entry(seq, **bad.get(seq, {})) for seq in range(3, 13))
        assert len(set(rows)) == 10
        assert seqs_in(store) == [1, 2, 3, 5, 12]
        found = store.report.pop()
        assert [(reason, lost.first_seq, lost.count) for reason, lost in found.lost] == [
            ("not_storable", seq, 1) for seq in bad
        ]
        assert [lost.as_gap("not_storable").first_seq for _, lost in found.lost] == list(bad)
        ((change, detail),) = found.notices
        assert change == "damaged"
        (kept,) = path.parent.glob("outbox.rows-*")
        assert kept.name in detail
        assert len(kept.read_bytes().splitlines()) == len(bad)
        assert store.append([entry(13)]) == [rows[-1] + 1]
    with closing(Store(path, QUOTA)) as store:
        assert seqs_in(store) == [1, 2, 3, 5, 12, 13]


def test_delivery_and_parking_are_one_transaction(path: Path) -> None:
    with closing(filled(path, 2)) as store:
        with pytest.raises(sqlite3.Error):
            store.record_outcomes([1], {"good": "denied", "bad": b"no text"})  # pyright: ignore[reportArgumentType]
        assert seqs_in(store) == [1, 2]
        assert select(path, "SELECT * FROM parked") == []


KILLED = """
import os, sys
from pathlib import Path
from healthd.outbox.store import Store
from healthd.samples import Record
from tests.unit.outbox.bench import entry
store = Store(Path(sys.argv[1]), 1_000_000)
store.append([entry(1), entry(2)])
with store.transaction() as db:
    db.execute("DELETE FROM pending")
    os.kill(os.getpid(), 9)
"""


def test_a_kill_during_a_transaction_keeps_only_what_was_committed(path: Path) -> None:
    root = Path(__file__).parents[3]
    killed = subprocess.run([sys.executable, "-c", KILLED, path], cwd=root, check=False)
    assert killed.returncode == -9
    with closing(Store(path, QUOTA)) as store:
        assert seqs_in(store) == [1, 2]
        assert store.set_aside is None


# Parked topics


def test_a_parked_topic_keeps_the_latest_reason_until_it_is_accepted(path: Path) -> None:
    query = "SELECT topic, reason FROM parked ORDER BY topic"
    before = time.time_ns()
    with closing(Store(path, QUOTA)) as store:
        store.record_outcomes([], {"a": "denied", "b": "denied"})
        store.record_outcomes([], {"a": "quota"})
        assert select(path, query) == [("a", "quota"), ("b", "denied")]
        ((since_ns,),) = select(path, "SELECT since_ns FROM parked WHERE topic = 'a'")
        assert before <= since_ns <= time.time_ns()
        store.record_outcomes([], {"a": None, "never parked": None})
        assert select(path, query) == [("b", "denied")]


# Quota


def fill_up(store: Store, first_seq: int, stream: str = "beat") -> tuple[int, list[Lost]]:
    """Append samples of a stream until something is lost; return the last number and the losses."""
    for first in range(first_seq, first_seq + 10_000, AT_ONCE):
        last = first + AT_ONCE - 1
        store.append(entry(seq, stream=stream) for seq in range(first, last + 1))
        if lost := store.pop_lost():
            return last, lost
    raise AssertionError("the quota is never reached")


def test_a_full_store_evicts_its_oldest_samples_and_reports_them_exactly(path: Path) -> None:
    with closing(Store(path, SMALL)) as store:
        last, lost = fill_up(store, 1)
        wall_ns = entry(0).wall_ns
        gone = EVICTED_AT_ONCE
        assert lost == [Lost("strap", "beat", "run", 1, gone, wall_ns + 1, wall_ns + gone, gone)]
        assert seqs_in(store) == list(range(gone + 1, last + 1))
        assert store.pop_lost() == []
        # Freed space is used again, so the file never exceeds its quota.
        for _ in range(3):
            last, lost = fill_up(store, last + 1)
            assert [each.count for each in lost] == [gone]
        assert seqs_in(store)[-1] == last
    assert path.stat().st_size <= SMALL


def test_a_full_store_does_not_evict_samples_in_flight(path: Path) -> None:
    """An evicted sample is reported as lost, although it may still arrive."""
    with closing(Store(path, SMALL)) as store:
        sent = store.append(entry(seq) for seq in range(1, 11))
        lost: list[Lost] = []
        for first in range(11, 10_000, AT_ONCE):
            store.append((entry(seq) for seq in range(first, first + AT_ONCE)), lambda: sent)
            if lost := store.pop_lost():
                break
        (gone,) = lost
        assert (gone.first_seq, gone.last_seq) == (11, 10 + EVICTED_AT_ONCE)
        assert [stored.row for stored in store.oldest(10)] == sent


def test_losses_are_summarised_by_stream_and_run_without_delivered_samples(path: Path) -> None:
    with closing(Store(path, SMALL)) as store:
        rows = store.append(
            entry(seq, stream=stream, run=run)
            for run in ("before", "now")
            for seq in range(1, 21)
            for stream in ("a", "b")
        )
        # Numbers 1 and 3 of stream a in the earlier run.
        store.record_outcomes([rows[0], rows[4]], {})
        _, lost = fill_up(store, 1)
    wall_ns = entry(0).wall_ns
    others = sorted((each for each in lost if each.stream != "beat"), key=str)
    assert others == [
        Lost("strap", "a", "before", 2, 20, wall_ns + 2, wall_ns + 20, 18),
        Lost("strap", "a", "now", 1, 20, wall_ns + 1, wall_ns + 20, 20),
        Lost("strap", "b", "before", 1, 20, wall_ns + 1, wall_ns + 20, 20),
        Lost("strap", "b", "now", 1, 20, wall_ns + 1, wall_ns + 20, 20),
    ]
    assert sum(each.count for each in lost) == EVICTED_AT_ONCE


def test_only_who_has_most_loses_samples_to_a_full_store(path: Path) -> None:
    """One that sends ten times as much as the others does not take their place."""
    quiet = ["a", "b", "c"]
    with closing(Store(path, SMALL)) as store:
        lost, last = list[Lost](), 0
        while len(lost) < 3:
            for peripheral in quiet:
                store.append([entry(last // 10, peripheral=peripheral)])
            store.append(entry(seq) for seq in range(last, last + 10))
            lost += store.pop_lost()
            last += 10
        assert {each.peripheral for each in lost} == {"strap"}
        # The oldest of it, without a hole.
        gone = sum(each.count for each in lost)
        assert [each.first_seq for each in lost] == [0, *(each.last_seq + 1 for each in lost[:-1])]
        skip = [(peripheral, "beat") for peripheral in quiet]
        assert [stored.seq for stored in store.oldest(ALL, skip)] == list(range(gone, last))
        for peripheral in quiet:
            assert store.depth().counts[peripheral, "beat"] == last // 10


def test_once_the_others_have_as_much_they_lose_samples_as_well(path: Path) -> None:
    """Who had most at first does not lose everything."""
    with closing(Store(path, SMALL)) as store:
        lost, last = fill_up(store, 1)[1], 0
        assert {each.peripheral for each in lost} == {"strap"}
        while {each.peripheral for each in lost} == {"strap"}:
            last += AT_ONCE
            store.append(entry(seq, peripheral="late") for seq in range(last - AT_ONCE, last))
            lost = store.pop_lost() or lost
        assert {each.peripheral for each in lost} == {"late"}
        counts = store.depth().counts
        assert abs(counts["strap", "beat"] - counts["late", "beat"]) < EVICTED_AT_ONCE / 4


def test_samples_are_evicted_before_events(path: Path) -> None:
    with closing(Store(path, SMALL)) as store:
        store.append(entry(seq, peripheral="", stream="event/gap") for seq in range(1, 41))
        last = 0
        for _ in range(3):
            last, lost = fill_up(store, last + 1)
            assert {each.stream for each in lost} == {"beat"}
        kept = [stored.seq for stored in store.oldest(ALL, [("strap", "beat")])]
        assert kept == list(range(1, 41))


def test_events_take_a_quarter_of_a_full_store_at_most(path: Path) -> None:
    """A link that comes and goes for days makes events all the time."""
    with closing(Store(path, SMALL)) as store:
        store.append(entry(seq) for seq in range(1, 301))
        gap = entry(1, peripheral="", stream="event/gap")
        store.append([gap])
        lost, last = list[Lost](), 0
        while len(lost) < 3:
            last += AT_ONCE
            seqs = range(last - AT_ONCE, last)
            store.append(entry(seq, peripheral="", stream="event/link") for seq in seqs)
            lost += store.pop_lost()
        counts = store.depth().counts
        # Those of the kind that has most, the oldest first.
        assert {each.stream for each in lost} == {"event/link"}
        assert counts["", "event/gap"] == 1
        assert counts["strap", "beat"] == 300
        assert seqs_in(store)[-1] == last - 1


def test_a_batch_larger_than_the_quota_evicts_its_oldest_samples(path: Path) -> None:
    """After a disk fault of minutes, memory may hold more samples than fit into a small quota."""
    with closing(filled(path, 10, SMALL)) as store:
        rows = store.append(entry(seq) for seq in range(11, 3011))
        lost = store.pop_lost()
        kept = seqs_in(store)
        assert len(rows) == 3000
        assert kept[-1] == 3010
        assert sum(each.count for each in lost) + len(kept) == 3010


# Against a plain list


SOURCES = [("strap", "beat"), ("strap", "other"), ("scale", "beat"), ("", "event/gap")]


def _owner(peripheral: str, stream: str) -> str:
    """Return whose rows are evicted together: a peripheral's, or the events of one kind."""
    return peripheral or stream


class Model(RuleBasedStateMachine):
    """Checks that the store holds the same as a list, whatever is done to it."""

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
        source=st.sampled_from(SOURCES),
    )
    def append(self, sizes: list[int], source: Stream) -> None:
        batch: list[Entry] = []
        for size in sizes:
            peripheral, stream = source
            batch.append(entry(self.next_seq, peripheral=peripheral, stream=stream, size=size))
            self.next_seq += 1
        rows = self.store.append(batch)
        self.evict(self.store.pop_lost())
        assert rows == sorted(rows)
        assert not rows or rows[0] > self.top_row
        self.top_row = max([self.top_row, *rows])
        self.stored += [Stored(row, *each[:-1]) for row, each in zip(rows, batch, strict=True)]

    def evict(self, lost: list[Lost]) -> None:
        """Remove what is reported as lost: the oldest rows of each of its owners."""
        gone = set[int]()
        for owner in {_owner(loss.peripheral, loss.stream) for loss in lost}:
            losses = [loss for loss in lost if _owner(loss.peripheral, loss.stream) == owner]
            count = sum(loss.count for loss in losses)
            own = [each for each in self.stored if _owner(each.peripheral, each.stream) == owner]
            gone |= {stored.row for stored in own[:count]}
            for stream in {loss.stream for loss in losses}:
                numbers = [stored.seq for stored in own[:count] if stored.stream == stream]
                reported = [loss for loss in losses if loss.stream == stream]
                assert min(loss.first_seq for loss in reported) == min(numbers)
                assert max(loss.last_seq for loss in reported) == max(numbers)
                assert sum(loss.count for loss in reported) == len(numbers)
        self.stored = [stored for stored in self.stored if stored.row not in gone]

    @rule(which=st.sets(st.integers(0, 200), max_size=40))
    def deliver(self, which: set[int]) -> None:
        rows = {self.stored[place].row for place in which if place < len(self.stored)}
        self.store.record_outcomes(rows, {})
        self.stored = [stored for stored in self.stored if stored.row not in rows]

    @rule()
    def claim_space(self) -> None:
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

    @rule(limit=st.integers(1, 20), skip=st.sets(st.sampled_from(SOURCES)))
    def read(self, limit: int, skip: set[Stream]) -> None:
        wanted = [each for each in self.stored if (each.peripheral, each.stream) not in skip]
        found = self.store.oldest(limit, list(skip))
        assert found == wanted[:limit]

    @invariant()
    def holds_the_same(self) -> None:
        if hasattr(self, "store"):
            assert self.store.oldest(ALL) == self.stored
            counts = Counter((stored.peripheral, stored.stream) for stored in self.stored)
            size = sum(len(stored.payload) for stored in self.stored)
            oldest_ns = self.stored[0].wall_ns if self.stored else None
            assert self.store.depth() == Depth(counts, size, oldest_ns)
            assert self.store.path.stat().st_size <= SMALL

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)


TestAgainstAList = Model.TestCase
TestAgainstAList.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
