"""A large backlog: memory, damage found while samples flow, and rows that are passed over."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from healthd.outbox.checksum import checksum
from healthd.outbox.schema import BLOCK_ROWS, INSERT, Lost, Stored, StreamStats
from healthd.outbox.store import Store
from healthd.outbox.tally import read_stats
from tests.unit.outbox.bench import (
    ALL,
    OVERDUE_S,
    Bench,
    Service,
    checkpoint,
    entry,
    lost_seqs,
    next_history,
    reported_changes,
    seqs_in,
    stored_gaps,
    used_bytes,
    waiting_samples,
)

ROOT = Path(__file__).parents[3]

# About 30 MB.
LARGE = 100_000
QUOTA = 100_000_000

# About 6 MB: as little as is copied while samples flow.
MEDIUM = 20_000

# As many bytes as SQLite needs for its cache, and what the allocator does not give back.
ALLOWED_KB = 2000

# A store is opened, asked, checked and emptied: each time the highest memory so far is printed.
PHASES = """
import sqlite3, sys
from contextlib import closing
from pathlib import Path
from healthd.outbox.store import Store
from healthd.outbox.tally import read_stats

def peak_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))

store = Store(Path(sys.argv[1]), 100_000_000)
store.depth()
peak_kb()
with closing(sqlite3.connect(sys.argv[1])) as db:
    read_stats(db)
peak_kb()
while getattr(store, "check_step", bool)():
    pass
peak_kb()
after = 0
while rows := store.oldest(250, (), after):
    store.record_outcomes([stored.row for stored in rows], {})
    after = rows[-1].row
peak_kb()
"""


def fill(path: Path, count: int, stream: str = "beat") -> None:
    """Append many samples in one transaction: the next numbers of the stream ``strap/<stream>``."""
    Store(path, QUOTA).close()
    with closing(sqlite3.connect(path)) as db:
        entries = ((seq, entry(seq, stream=stream, wall_ns=seq)) for seq in range(1, count + 1))
        db.executemany(INSERT, ((row, *each[:-1], checksum(row, each)) for row, each in entries))
        db.commit()
    checkpoint(path)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a large store, to be copied."""
    path = tmp_path_factory.mktemp("large") / "outbox.sqlite3"
    fill(path, LARGE)
    return path


def peaks_kb(path: Path) -> list[int]:
    """Return the peak memory of a process after each phase."""
    command = [sys.executable, "-c", PHASES, path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def test_memory_does_not_depend_on_what_waits(large: Path, tmp_path: Path) -> None:
    small = tmp_path / "small" / "outbox.sqlite3"
    fill(small, 300)
    full = Path(shutil.copy(large, tmp_path / "outbox.sqlite3"))
    # Opened, asked, checked, emptied.
    grown = [more - less for less, more in zip(peaks_kb(small), peaks_kb(full), strict=True)]
    assert max(grown) < ALLOWED_KB, grown


# Damage


def garble_rows(path: Path, *, share: float) -> None:
    """Overwrite a page of samples at this share of what is used of the file."""
    with path.open("r+b") as file:
        file.seek(int(used_bytes(path) * share) // 4096 * 4096)
        file.write(b"\xa5" * 4096)


async def test_damage_among_many_rows_is_found_while_samples_flow(
    bench: Bench, large: Path
) -> None:
    bench.folder.mkdir()
    shutil.copy(large, bench.path)
    garble_rows(bench.path, share=0.9)
    async with bench.outbox(max_size=QUOTA) as outbox, Service(outbox) as service:
        # It is not found at the start, and the samples of this run go to the damaged file first.
        assert not await reported_changes(outbox)
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        assert (await outbox.stats())["on_disk"] == LARGE + 1
        while len(list(bench.folder.glob("*.corrupt-*[0-9]"))) == 0:
            await service.rounds()
        await service.rounds()
        assert (await outbox.stats())["state"] == "ok"
        events = [sample.measurement.fields() for sample in await waiting_samples(outbox)]
        assert [each["change"] for each in events if "change" in each] == ["corrupt", "damaged"]
        gaps = [*stored_gaps(bench.path), *(each for each in events if "reason" in each)]
        assert {gap["reason"] for gap in gaps} == {"damaged"}
        found: list[Stored] = []
        while (await outbox.stats())["on_disk"] > len(found):
            found += await next_history(outbox)
    kept = [stored.seq for stored in found if stored.run == "run"]
    assert [stored.seq for stored in found if stored.run == bench.run.id] == [1]
    assert kept == sorted(kept)
    # A page has a dozen samples.
    assert LARGE - 20 < len(kept) < LARGE
    assert set(range(1, LARGE + 1)) - set(kept) <= set(lost_seqs(gaps))
    assert sum(gap["count"] for gap in gaps) == LARGE - len(kept)


def heal(store: Store) -> None:
    while store.check_step():
        pass


def test_the_samples_on_both_sides_of_the_damage_are_copied_in_order(
    large: Path, path: Path
) -> None:
    path.parent.mkdir()
    shutil.copy(large, path)
    with closing(Store(path, QUOTA)) as store:
        rows = store.append(entry(seq, run="now") for seq in range(1, 1001))
        with store.transaction() as db:
            db.execute("PRAGMA cache_size=0")
        checkpoint(path)
        # The rows of this run are at the end of the file.
        garble_rows(path, share=0.999)
        store.start_over(sqlite3.DatabaseError("damaged"))
        assert store.append([entry(1001, run="now")])[0] > rows[-1]
        # Newer samples wait for older ones.
        assert store.oldest(ALL) == []
        heal(store)
        found = store.oldest(ALL)
        numbers = [(stored.run == "now", stored.seq) for stored in found]
        assert numbers == sorted(numbers)
        assert len(found) > LARGE + 970
        ((reason, lost),) = store.report.pop().lost
        assert reason == "damaged"
        assert len(found) + lost.count == LARGE + 1001
        assert sum(store.depth().counts.values()) == len(found)
        stored = {seq for run, seq in numbers if run}
        assert set(range(1, 1002)) - stored <= set(range(lost.first_seq, lost.last_seq + 1))


# By then, one step of copying after each start has copied all blocks.
KILLED_UNTIL = 80


def test_a_copy_that_is_killed_goes_on_at_the_next_start(path: Path) -> None:
    fill(path, MEDIUM)
    garble_rows(path, share=0)
    store, steps = Store(path, QUOTA), 0
    while store.check_step():
        steps += 1
        if steps % 8 == 0 and steps <= KILLED_UNTIL:
            # As a kill leaves it.
            shutil.copytree(path.parent, path.parent.with_name(f"copy-{steps}"))
            store.close()
            path = path.parent.with_name(f"copy-{steps}") / path.name
            store = Store(path, QUOTA)
            # Rows of the new run follow all that is still to be copied.
            store.append([entry(steps, run="now")])
    with closing(store):
        found = [(stored.run == "now", stored.seq) for stored in store.oldest(ALL)]
        assert found == [(False, seq) for seq in range(1, MEDIUM + 1)] + [
            (True, each) for each in range(8, KILLED_UNTIL + 1, 8)
        ]


def test_what_a_copy_that_is_killed_has_found_missing_is_named(path: Path) -> None:
    """D15: nothing was said about the block of rows in which the kill came."""
    fill(path, MEDIUM)
    # From the last one on: the first page says how much is used.
    for percent in reversed(range(0, 100, 5)):
        garble_rows(path, share=percent / 100)
    store, steps, lost = Store(path, QUOTA), 0, list[Lost]()
    while store.check_step():
        steps += 1
        lost += [each for _, each in store.report.pop().lost]
        if steps % 8 == 0 and steps <= KILLED_UNTIL:
            shutil.copytree(path.parent, path.parent.with_name(f"copy-{steps}"))
            store.close()
            path = path.parent.with_name(f"copy-{steps}") / path.name
            store = Store(path, QUOTA)
    with closing(store):
        lost += [each for _, each in store.report.pop().lost]
        missing = set(range(1, MEDIUM + 1)) - set(seqs_in(store))
        assert sum(each.count for each in lost) == len(missing) > 0
        assert missing <= {seq for each in lost for seq in range(each.first_seq, each.last_seq + 1)}


# Rows that are passed over


def thousands_of_steps(store: Store, work: Callable[[], object]) -> int:
    """Return how many thousands of its instructions SQLite needs for this work."""
    count = 0

    def on_step() -> int:
        nonlocal count
        count += 1
        return 0

    with store.transaction() as db:
        db.set_progress_handler(on_step, 1000)
    work()
    with store.transaction() as db:
        db.set_progress_handler(None, 0)
    return count


def test_a_large_skipped_stream_is_not_read(large: Path, path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(large, path)
    with closing(Store(path, QUOTA)) as store:
        store.append([entry(1, stream="other")])
        skipped = [("strap", "beat")]
        found = list[Stored]()
        cost = thousands_of_steps(store, lambda: found.extend(store.oldest(10, skipped)))
        assert [stored.stream for stored in found] == ["other"]
        # Less than one instruction for each sample that is skipped.
        assert cost < LARGE / 1000


def test_events_among_many_samples_are_found_without_reading_those(large: Path, path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(large, path)
    with closing(Store(path, QUOTA)) as store:
        for seq in (1, 2):
            store.append([entry(seq, peripheral="", stream="event/gap")])
        store.append([entry(1, peripheral="", stream="event/outbox"), entry(LARGE + 1)])
        found = list[Stored]()
        skipped = [("", "event/outbox")]
        cost = thousands_of_steps(store, lambda: found.extend(store.oldest_events(10, skipped)))
        assert [(stored.stream, stored.seq) for stored in found] == [
            ("event/gap", n) for n in (1, 2)
        ]
        assert cost < LARGE / 1000
        assert [stored.seq for stored in store.oldest_events(1, ())] == [1]
        assert len(store.oldest_events(10, ())) == 3


def test_an_eviction_does_not_read_past_many_rows_of_others(path: Path) -> None:
    fill(path, LARGE)
    with sqlite3.connect(path) as db:
        # One block of each of many peripherals, which have less than the one with the newest.
        db.execute(f"UPDATE pending SET stream = 'beat', peripheral = row / {BLOCK_ROWS}")
        db.execute("UPDATE tally SET stream = 'beat', peripheral = block")
    quota = path.stat().st_size + 300 * 4096
    with closing(Store(path, quota)) as store:
        lost, seq = list[Lost](), 0

        def append_until_full() -> None:
            nonlocal seq
            while not lost:
                seq += 100
                store.append(entry(each) for each in range(seq - 99, seq + 1))
                lost.extend(store.pop_lost())

        append_until_full()
        assert {each.peripheral for each in lost} == {"strap"}
        lost.clear()
        cost = thousands_of_steps(store, append_until_full)
        assert {each.peripheral for each in lost} == {"strap"}
        assert cost < LARGE / 1000


def test_stats_do_not_read_the_rows(large: Path, path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(large, path)
    with closing(Store(path, QUOTA)) as store:
        # In the first and in a later block the oldest sample is gone.
        store.record_outcomes([1, 5 * BLOCK_ROWS], {})
        stats = list[StreamStats]()
        with store.transaction() as db:
            pass
        cost = thousands_of_steps(store, lambda: stats.extend(read_stats(db)))
        assert [(row.count, row.oldest_ns) for row in stats] == [(LARGE - 2, 2)]
        assert cost < LARGE / 1000
