"""Write-around store and forward: what is on disk when, what is delivered how, and what is lost."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from structlog.typing import EventDict

from healthd.outbox.continuity import End
from healthd.outbox.outbox import SPILL_AFTER_S, Outbox
from healthd.outbox.pending import Pending
from healthd.outbox.schema import Stored
from healthd.outbox.store import Store
from healthd.samples import Record, Sample
from tests.unit.outbox.bench import (
    BOUND_S,
    OVERDUE_S,
    Beat,
    Bench,
    Service,
    checkpoint,
    failing_disk,
    look,
)

# Well inside the promise, and far longer than any test takes.
YOUNG_S = SPILL_AFTER_S / 5

ALL = 100_000

T = TypeVar("T")


async def soon(awaitable: Awaitable[T]) -> T:
    """What must happen, in generous time."""
    async with asyncio.timeout(BOUND_S):
        return await awaitable


async def take(outbox: Outbox, count: int) -> list[Pending]:
    return [await soon(outbox.live.next_pending()) for _ in range(count)]


def seqs(taken: Iterable[Pending]) -> list[int]:
    return [one.sample.seq for one in taken]


async def waits(outbox: Outbox) -> list[Sample]:
    """Everything that waits on the live path, taken."""
    found: list[Sample] = []
    while (await outbox.stats())["in_memory"] > len(found):
        found.append((await soon(outbox.live.next_pending())).sample)
    return found


async def take_beats(outbox: Outbox, count: int) -> list[Pending]:
    """Samples of peripherals alone; events in between stay with the broker."""
    found: list[Pending] = []
    while len(found) < count:
        one = await soon(outbox.live.next_pending())
        found += [one] * bool(one.sample.peripheral)
    return found


async def backlog(outbox: Outbox, *, limit: int = ALL) -> list[Stored]:
    return await soon(outbox.backlog.next_batch(limit, tuple))


async def gaps(outbox: Outbox) -> list[dict[str, Any]]:
    """The gaps told so far, wherever they wait."""
    return [one.measurement.fields() for one in await waits(outbox) if one.stream == "event/gap"]


async def turns() -> None:
    """Let everything that is ready in the event loop run."""
    for _ in range(20):
        await asyncio.sleep(0)


# Around the disk


class Watched:
    """Whether anything at all is written to the store's files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path)

    def close(self) -> None:
        self._db.close()

    def state(self) -> tuple[Any, ...]:
        version = self._db.execute("PRAGMA data_version").fetchone()
        files = (self._path, Path(f"{self._path}-wal"))
        return version, [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]


async def test_what_is_acknowledged_in_time_never_touches_the_disk(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample())
        for one in await take(outbox, 1):
            outbox.live.acknowledge(one)
        # By now the quota is claimed, and that the stream has begun is noted.
        await service.rounds()
        with closing(Watched(bench.path)) as watched:
            before = watched.state()
            for _ in range(5):
                samples = [bench.sample(YOUNG_S) for _ in range(30)]
                for sample in samples:
                    outbox.put(sample)
                await service.rounds()  # unacknowledged all the time
                taken = await take(outbox, 30)
                assert [one.sample for one in taken] == samples
                await service.rounds()
                for one in taken:
                    outbox.live.acknowledge(one)
                await service.rounds()
            assert watched.state() == before
        assert bench.stored() == []
        assert (await outbox.stats())["in_memory"] == 0
    assert bench.stored() == []


async def test_what_waits_too_long_is_stored_once_and_leaves_the_live_path(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        young = bench.sample(YOUNG_S)
        outbox.put(young)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        await service.rounds()
        assert bench.stored_seqs() == [1]
        assert (await soon(outbox.live.next_pending())).sample is young
        (stored,) = await backlog(outbox)
        assert (stored.seq, stored.stream, stored.run) == (1, "beat", bench.run.id)
        assert (await outbox.stats())["in_memory"] == 1


async def test_what_is_with_the_broker_too_long_is_stored_and_stays_on_the_live_path(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        (sent,) = await take(outbox, 1)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        history = asyncio.create_task(outbox.backlog.next_batch(ALL, tuple))
        await service.rounds()
        assert not history.done()  # it may still be acknowledged
        outbox.live.acknowledge(sent)
        await service.rounds()
        assert bench.stored_seqs() == []
        assert not history.done()
        history.cancel()
        assert (await outbox.stats())["in_memory"] == 0


async def test_an_acknowledgement_during_the_commit_deletes_the_row(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, acked = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    append = Store.append

    def slowly(store: Store, entries: Any, spare: Any) -> list[int]:
        rows = append(store, entries, spare)
        # The disk has it, the event loop does not know yet.
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(acked.wait(), loop).result(BOUND_S)
        return rows

    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        (sent,) = await take(outbox, 1)
        monkeypatch.setattr(Store, "append", slowly)
        await soon(began.wait())
        assert bench.stored_seqs() == [1]
        outbox.live.acknowledge(sent)
        acked.set()
        await service.rounds()
        assert bench.stored_seqs() == []
    bench.next_run()
    async with bench.outbox() as outbox:
        assert (await outbox.stats())["on_disk"] == 0


async def test_a_connection_that_ends_gives_back_in_order(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox):
        for _ in range(10):
            outbox.put(bench.sample())
        sent = await take(outbox, 6)
        for one in (sent[1], sent[4]):
            outbox.live.acknowledge(one)
        outbox.requeue_unacknowledged()
        outbox.put(bench.sample())
        assert seqs(await take(outbox, 9)) == [1, 3, 4, 6, 7, 8, 9, 10, 11]


async def test_an_acknowledgement_that_follows_its_sample_back_still_counts(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(3):
            outbox.put(bench.sample())
        sent = await take(outbox, 2)
        outbox.requeue_unacknowledged()
        outbox.live.acknowledge(sent[0])
        assert seqs(await take(outbox, 2)) == [2, 3]
        await service.rounds()
        assert bench.stored() == []


async def test_what_was_with_the_broker_too_long_comes_back_as_history(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        await take(outbox, 1)
        await service.rounds()
        outbox.requeue_unacknowledged()
        await service.rounds()
        assert [one.seq for one in await backlog(outbox)] == [1]
        young = bench.sample()
        outbox.put(young)
        assert (await soon(outbox.live.next_pending())).sample is young


async def test_what_the_broker_refuses_is_on_disk_at_once_and_not_live(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(3):
            outbox.put(bench.sample())
        first, second, _ = await take(outbox, 3)
        outbox.live.acknowledge(first)
        outbox.live.refuse(second)
        await service.rounds()
        assert bench.stored_seqs() == [2]
        assert [one.seq for one in await backlog(outbox)] == [2]
        outbox.requeue_unacknowledged()
        assert seqs(await take(outbox, 1)) == [3]


async def test_a_refusal_waits_for_older_ones_of_its_stream_that_are_unanswered(
    bench: Bench,
) -> None:
    """They may be refused as well, and history is in order."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(3):
            outbox.put(bench.sample())
        outbox.put(bench.sample(stream="other"))
        first, second, third, other = await take(outbox, 4)
        outbox.live.refuse(third)
        outbox.live.refuse(other)
        await service.rounds()
        assert look(bench.path, "SELECT stream FROM pending") == [("other",)]
        outbox.live.refuse(first)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        outbox.live.acknowledge(second)
        await service.rounds()
        assert bench.stored_seqs() == [1, 3]


async def test_a_refusal_waits_no_longer_than_the_promise(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        outbox.put(bench.sample(OVERDUE_S))
        _, second = await take(outbox, 2)
        outbox.live.refuse(second)
        await service.rounds()
        assert bench.stored_seqs() == [1, 2]


async def test_a_refused_sample_that_is_stored_already_is_history_and_settled(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        (sent,) = await take(outbox, 1)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        history = asyncio.create_task(outbox.backlog.next_batch(ALL, tuple))
        await service.rounds()
        outbox.live.refuse(sent)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        settled = asyncio.create_task(outbox.live.settled())
        await service.rounds()
        # Nobody puts another sample that would move it along.
        assert (history.done(), settled.done()) == (True, True)
        assert [one.seq for one in history.result()] == [1]


async def test_an_outage_of_many_samples_is_committed_before_they_are_old(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.outbox._PRESSURE", 100)
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(99):
            outbox.put(bench.sample())
        await service.rounds()
        assert bench.stored() == []
        outbox.put(bench.sample())
        await service.rounds()
        assert bench.stored_seqs() == list(range(1, 101))
        assert (await outbox.stats())["in_memory"] == 0


# Through the disk


def through(bench: Bench) -> Outbox:
    return bench.outbox(write="through")


async def test_written_through_a_sample_is_committed_before_it_can_be_sent(bench: Bench) -> None:
    async with through(bench) as outbox, Service(outbox) as service:
        for number in range(1, 4):
            outbox.put(bench.sample())
            sent = await soon(outbox.live.next_pending())
            assert sent.sample.seq == number
            assert bench.stored_seqs() == [number]
            outbox.live.acknowledge(sent)
            await service.rounds()
            assert bench.stored_seqs() == []


async def test_written_through_commits_are_groups(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    append = Store.append

    def counted(store: Store, entries: list[Any], spare: Any) -> list[int]:
        commits.append(len(entries))
        return append(store, entries, spare)

    monkeypatch.setattr(Store, "append", counted)
    async with through(bench) as outbox, Service(outbox):
        for _ in range(100):
            outbox.put(bench.sample())
        assert seqs(await take(outbox, 100)) == list(range(1, 101))
        assert commits == [100]


async def test_written_through_each_sample_is_stored_once(bench: Bench) -> None:
    async with through(bench) as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        outbox.put(bench.sample())
        await service.rounds()
        # The old one has left the live path: it is history.
        assert seqs(await take(outbox, 1)) == [2]
        assert [one.seq for one in await backlog(outbox)] == [1]
        outbox.requeue_unacknowledged()
        await service.rounds()
        assert bench.stored_seqs() == [1, 2]


async def test_written_through_what_waits_too_long_becomes_history_while_one_waits_for_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is slow: the window is full, and no new sample comes to wake anybody."""
    monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", 0.2)
    async with through(bench) as outbox, Service(outbox) as service:
        history = asyncio.create_task(outbox.backlog.next_batch(ALL, tuple))
        outbox.put(bench.sample())
        await service.rounds()
        assert bench.stored_seqs() == [1]
        async with asyncio.timeout(BOUND_S):
            while (await outbox.stats())["in_memory"]:
                await service.rounds()
        await service.rounds()
        assert history.done(), "it has left the live path, and nobody gives it out"
        assert [one.seq for one in history.result()] == [1]


async def test_written_through_a_failing_disk_stops_nothing(bench: Bench) -> None:
    async with through(bench) as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            outbox.put(bench.sample())
            await service.failed()
            outbox.put(bench.sample())
            beats = await take_beats(outbox, 2)
            assert seqs(beats) == [1, 2]
            for one in beats:
                outbox.live.acknowledge(one)
        await service.rounds()
        assert bench.stored() == []
        # And back to the disk first.
        outbox.put(bench.sample())
        await service.rounds()
        assert bench.stored_seqs() == [3]


async def test_written_through_the_order_holds_when_the_disk_begins_to_fail(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, failed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    append = Store.append

    def failing(store: Store, entries: Any, spare: Any) -> list[int]:
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(failed.wait(), loop).result(BOUND_S)
        with failing_disk():
            return append(store, entries, spare)

    async with through(bench) as outbox, Service(outbox) as service:
        await service.rounds()
        monkeypatch.setattr(Store, "append", failing)
        outbox.put(bench.sample())
        await soon(began.wait())
        outbox.put(bench.sample())  # while the first one is being committed
        failed.set()
        await service.first_failure()
        outbox.put(bench.sample())  # straight into memory
        assert seqs(await take_beats(outbox, 3)) == [1, 2, 3]


# While the disk fails


async def test_memory_is_bounded_and_keeps_the_newest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live.MEMORY_LIMIT", 50)
    async with bench.outbox() as outbox:
        for _ in range(80):
            outbox.put(bench.sample())
        assert (await outbox.stats())["in_memory"] == 50
        assert seqs(await take(outbox, 50)) == list(range(31, 81))


async def test_memory_keeps_the_newest_and_tells_exactly_what_went(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live.MEMORY_LIMIT", 50)
    samples = [bench.sample(OVERDUE_S) for _ in range(80)]
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            outbox.put(samples[0])
            await service.failed()
            for sample in samples[1:]:
                outbox.put(sample)
            await service.failed()
        await service.rounds()
        kept = bench.stored_seqs()
        assert kept == list(range(81 - len(kept), 81))
        assert 45 <= len(kept) <= 50  # events of the fault itself take a few places
        told = await gaps(outbox)
    gone = 80 - len(kept)
    assert told[0]["peripheral"] == "strap"
    assert told[0]["reason"] == "evicted"
    assert told[0]["run"] == bench.run.id
    assert [seq for gap in told for seq in range(gap["first_seq"], gap["last_seq"] + 1)] == list(
        range(1, gone + 1)
    )
    assert sum(gap["count"] for gap in told) == gone


async def test_everything_that_memory_gave_up_is_told_however_long_it_lasts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live.MEMORY_LIMIT", 50)
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            for _ in range(5):
                for _ in range(60):
                    outbox.put(bench.sample(OVERDUE_S))
                await service.failed()
        await service.rounds()
        kept = set(bench.stored_seqs())
        told = await gaps(outbox)
        events = look(bench.path, "SELECT payload FROM pending WHERE stream = 'event/gap'")
        told += [orjson.loads(payload) for (payload,) in events]
    assert 300 in kept
    lost = [seq for gap in told for seq in range(gap["first_seq"], gap["last_seq"] + 1)]
    assert sorted(lost) == sorted(set(range(1, 301)) - kept)


async def test_the_fault_is_told_once_and_so_is_its_end(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        outbox.put(bench.sample(OVERDUE_S))
        with failing_disk():
            await service.failed()
            await service.failed()
        await service.rounds()
        await service.rounds()
        changes = [
            one.measurement.fields()["change"]
            for one in await waits(outbox)
            if one.stream == "event/outbox"
        ]
        assert changes == ["degraded", "recovered"]
        assert bench.stored_seqs() == [1]


async def test_a_disk_that_can_only_be_read_is_degraded_until_it_can_be_written(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            outbox.put(bench.sample(OVERDUE_S))
            await service.failed()
            (beat,) = await take_beats(outbox, 1)
            outbox.live.acknowledge(beat)
            # Nothing is left to write, but counters and backlog are read.
            await service.failed()
            assert (await outbox.stats())["state"] == "degraded"
        # Nothing is put meanwhile either: it finds out by itself.
        await service.rounds()
        assert (await outbox.stats())["state"] == "ok"
        outbox.requeue_unacknowledged()
        changes = [
            one.measurement.fields()["change"]
            for one in await waits(outbox)
            if one.stream == "event/outbox"
        ]
        assert changes == ["degraded", "recovered"]


async def test_what_is_left_out_is_passed_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic that is parked for days has many rows, and each new one wakes the publisher."""
    behind: list[int] = []
    oldest = Store.oldest

    def watched(store: Store, limit: int, skip: Any, after: int) -> list[Stored]:
        behind.append(after)
        return oldest(store, limit, skip, after)

    monkeypatch.setattr(Store, "oldest", watched)
    skipped = [("strap", "parked")]
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(50):
            outbox.put(bench.sample(OVERDUE_S, "parked"))
        taking = asyncio.create_task(outbox.backlog.next_batch(ALL, lambda: skipped))
        await service.rounds()
        for _ in range(2):
            outbox.put(bench.sample(OVERDUE_S, "parked"))
            await service.rounds()
        assert behind[-1] >= 50
        assert not taking.done()
        skipped.clear()
        outbox.backlog.wake()
        assert len(await soon(taking)) == 52
        assert behind[-1] == 0


async def test_what_is_released_while_the_disk_is_read_is_read_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, released = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    oldest = Store.oldest

    def slowly(store: Store, limit: int, skip: Any, after: int) -> list[Stored]:
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result(BOUND_S)
        return oldest(store, limit, skip, after)

    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(3):
            outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        first, *_ = await soon(outbox.backlog.next_batch(2, tuple))
        monkeypatch.setattr(Store, "oldest", slowly)
        taking = asyncio.create_task(outbox.backlog.next_batch(1, tuple))
        await soon(began.wait())
        outbox.backlog.release(first.row)
        released.set()
        assert [one.seq for one in await soon(taking)] == [3]
        assert [one.seq for one in await soon(outbox.backlog.next_batch(1, tuple))] == [1]


async def test_what_was_given_out_is_not_evicted_until_the_connection_is_gone(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:

        async def fill_up() -> None:
            while (await outbox.stats())["evicted"] == before:
                for _ in range(100):
                    outbox.put(bench.sample(OVERDUE_S, size=300))
                await service.rounds()

        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        assert [one.seq for one in await backlog(outbox)] == [1]
        before = 0
        await fill_up()
        assert bench.stored_seqs()[0] == 1
        outbox.requeue_unacknowledged()
        before = (await outbox.stats())["evicted"]
        await fill_up()
        assert bench.stored_seqs()[0] > 1


async def test_a_quota_that_is_reached_costs_the_oldest_and_says_which(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        for _ in range(30):
            for _ in range(100):
                outbox.put(bench.sample(OVERDUE_S, size=300))
            await service.rounds()
        kept = bench.stored_seqs()
        assert 1 < kept[0] < 3000
        assert kept == list(range(kept[0], 3001))
        told = await gaps(outbox)
        assert (await outbox.stats())["evicted"] == kept[0] - 1
    assert {gap["reason"] for gap in told} == {"evicted"}
    lost = [seq for gap in told for seq in range(gap["first_seq"], gap["last_seq"] + 1)]
    assert lost == list(range(1, kept[0]))
    assert sum(gap["count"] for gap in told) == len(lost)


async def test_what_a_refused_topic_cost_is_told_as_refused(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        outbox.note_parked(("strap", "beat"), "topic", "not authorized")
        for _ in range(30):
            for _ in range(100):
                outbox.put(bench.sample(OVERDUE_S, size=300))
            await service.rounds()
        assert {gap["reason"] for gap in await gaps(outbox)} == {"refused"}


async def test_a_stream_is_parked_while_either_of_its_topics_is(bench: Bench) -> None:
    strap = ("strap", "beat")
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.note_parked(strap, "live", "not authorized")
        outbox.note_parked(strap, "live/history", "not authorized")
        outbox.note_parked(strap, "live", None)
        await service.rounds()
        assert look(bench.path, "SELECT topic FROM parked") == [("live/history",)]
        assert (await outbox.stats())["parked"] == ["live/history"]
        outbox.note_parked(strap, "live/history", None)
        await service.rounds()
        assert look(bench.path, "SELECT topic FROM parked") == []
        assert (await outbox.stats())["parked"] == []


async def test_rows_of_a_file_that_was_set_aside_are_not_taken_for_those_of_the_next(
    bench: Bench,
) -> None:
    """The broker is slow: what it acknowledges late must not delete what came to disk since."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        outbox.put(bench.sample(OVERDUE_S))
        (sent,) = await take(outbox, 1)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        checkpoint(bench.path)
        with bench.path.open("r+b") as file:
            file.write(b"no database here" * 8)
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        assert list(bench.folder.glob("*.corrupt-*"))
        assert 2 in bench.stored_seqs()
        outbox.live.acknowledge(sent)
        await service.rounds()
        assert bench.stored_seqs() == [2]
        assert [one.seq for one in await backlog(outbox) if one.peripheral] == [2]


async def test_what_is_only_in_a_file_that_was_set_aside_and_in_memory_is_stored_again(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        outbox.put(bench.sample(OVERDUE_S))
        await take(outbox, 1)
        await service.rounds()
        checkpoint(bench.path)
        with bench.path.open("r+b") as file:
            file.write(b"no database here" * 8)
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        assert list(bench.folder.glob("*.corrupt-*"))
    # It was with the broker until the end, and not acknowledged.
    assert sorted(bench.stored_seqs()) == [1, 2]


async def test_a_deleted_file_costs_nothing(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        first, _ = await backlog(outbox)
        for file in list(bench.folder.glob("outbox.sqlite3*")):
            file.unlink()
        outbox.put(bench.sample(OVERDUE_S))
        outbox.backlog.acknowledge(first.row)
        await service.rounds()
        assert bench.stored_seqs() == [2, 3]
        assert [one.seq for one in await backlog(outbox) if one.peripheral] == [3]


# The end of a run, and the next one


async def test_the_end_commits_everything_and_the_next_run_delivers_it(bench: Bench) -> None:
    first_run = bench.run.id
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        for _ in range(5):
            outbox.put(bench.sample())
        acked, _, refused = await take(outbox, 3)
        outbox.live.acknowledge(acked)
        outbox.live.refuse(refused)
    expected = [(first_run, seq) for seq in (1, 3, 4, 5, 6)]
    assert sorted(bench.stored()) == expected
    bench.next_run()
    async with bench.outbox() as outbox, Service(outbox) as service:
        history = await backlog(outbox)
        assert sorted((one.run, one.seq) for one in history) == expected
        for one in history:
            outbox.backlog.acknowledge(one.row)
        await service.rounds()
        assert bench.stored() == []


@pytest.mark.parametrize("write", ["around", "through"])
async def test_an_end_in_the_middle_of_a_commit_stores_everything_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    append = Store.append

    def slowly(store: Store, entries: Any, spare: Any) -> list[int]:
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(BOUND_S)
        return append(store, entries, spare)

    outbox = bench.outbox(write=write)
    async with outbox:
        running = asyncio.create_task(outbox.run(lambda: None))
        monkeypatch.setattr(Store, "append", slowly)
        outbox.put(bench.sample(OVERDUE_S))
        await soon(began.wait())
        outbox.put(bench.sample())
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        assert bench.stored() == []
        loop.call_soon(go_on.set)
    assert bench.stored_seqs() == [1, 2]


async def test_an_end_with_a_failing_disk_is_an_end_and_says_what_it_costs(
    bench: Bench, log: list[EventDict]
) -> None:
    async with bench.outbox() as outbox:
        for _ in range(3):
            outbox.put(bench.sample())
        (sent, *_) = await take(outbox, 1)
        assert not sent.acked
        fault = ExitStack()
        fault.enter_context(failing_disk())
    fault.close()
    (line,) = [line for line in log if line["event"] == "samples lost with the disk"]
    assert line["count"] >= 3
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert not previous.clean


async def test_what_the_last_commit_cost_is_told_by_the_next_run(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        evicted = 0
        # Full to the brim: the next commit evicts again.
        while not evicted:
            for _ in range(50):
                outbox.put(bench.sample(OVERDUE_S, size=300))
            await service.rounds()
            evicted = (await outbox.stats())["evicted"]
        room = evicted
        for _ in range(2 * room):
            outbox.put(bench.sample(size=300))
    kept = bench.stored_seqs()
    assert kept[0] > evicted + 1, "the last commit was to evict"
    bench.next_run()
    async with bench.outbox() as outbox:
        history = await backlog(outbox)
    told = [orjson.loads(one.payload) for one in history if one.stream == "event/gap"]
    lost = [seq for gap in told for seq in range(gap["first_seq"], gap["last_seq"] + 1)]
    assert sorted(lost) == list(range(1, kept[0]))


async def test_what_memory_gave_up_before_the_end_is_told_by_the_next_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live.MEMORY_LIMIT", 10)
    async with bench.outbox() as outbox:
        for _ in range(15):
            outbox.put(bench.sample())
    kept = bench.stored_seqs()
    assert kept == list(range(kept[0], 16))
    assert 5 < kept[0] < 10  # the report itself may take a place
    events = look(bench.path, "SELECT payload FROM pending WHERE stream = 'event/gap'")
    told = [orjson.loads(payload) for (payload,) in events]
    lost = [seq for gap in told for seq in range(gap["first_seq"], gap["last_seq"] + 1)]
    assert sorted(lost) == list(range(1, kept[0]))


async def test_a_first_start_has_no_run_before_it(bench: Bench) -> None:
    async with bench.outbox() as outbox:
        assert outbox.previous_runs == []


async def test_a_clean_end_is_known_with_where_each_stream_ended(bench: Bench) -> None:
    first_run = bench.run.id
    async with bench.outbox() as outbox, Service(outbox):
        last = {
            stream: [bench.sample(stream=stream) for _ in range(count)][-1]
            for stream, count in (("beat", 3), ("other", 1))
        }
        for sample in last.values():
            outbox.put(sample)
        outbox.put(bench.run.event(Beat()))
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert (previous.run, previous.clean) == (first_run, True)
        # The gateway's own events are no stream that could have a gap.
        assert previous.ends == {
            ("strap", stream): End(sample.seq, sample.stamp.wall_ns)
            for stream, sample in last.items()
        }


async def left_unclean(bench: Bench) -> dict[str, int]:
    """A run that ends as by kill -9, with 5 samples certain and 2 not; what it knew."""
    outbox = bench.outbox()
    await outbox.__aenter__()
    async with Service(outbox) as service:
        samples = [bench.sample() for _ in range(5)] + [bench.sample() for _ in range(2)]
        for sample in samples:
            outbox.put(sample)
        for one in await take(outbox, 5):
            outbox.live.acknowledge(one)
        await service.rounds()
    # What a dying process leaves: closed files, and nothing written any more.
    await outbox._disk.close()  # pyright: ignore[reportPrivateUsage]
    return {"seq": 5, "wall_ns": samples[5].stamp.wall_ns}


async def test_after_an_unclean_stop_the_notes_tell_until_where_streams_are_certain(
    bench: Bench,
) -> None:
    first_run = bench.run.id
    known = await left_unclean(bench)
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert (previous.run, previous.clean) == (first_run, False)
        assert previous.ends == {("strap", "beat"): End(**known)}


async def test_without_notes_what_was_certain_first_is_all_that_is_known(tmp_path: Path) -> None:
    """As after a power cut: where a stream ended is noted in memory, that it began on disk."""
    bench = Bench(tmp_path / "state")
    first_run, began_ns = bench.run.id, bench.run.clock.now().wall_ns
    known = await left_unclean(bench)
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert (previous.run, previous.clean) == (first_run, False)
        assert previous.ends == {("strap", "beat"): End(**known)}
        assert began_ns <= previous.started_ns <= bench.run.clock.now().wall_ns


async def test_a_stored_sample_is_certain(bench: Bench) -> None:
    """Also one behind it that is acknowledged: the end is where the first hole begins."""
    outbox = bench.outbox()
    await outbox.__aenter__()
    async with Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        outbox.put(bench.sample())
        outbox.put(bench.sample())
        await service.rounds()
        _, acked = await take(outbox, 2)
        outbox.live.acknowledge(acked)
        await service.rounds()
    await outbox._disk.close()  # pyright: ignore[reportPrivateUsage]
    bench.next_run()
    async with bench.outbox() as outbox:
        (previous,) = outbox.previous_runs
        assert previous.ends["strap", "beat"].seq == 1


# Backlog


async def stored_beats(outbox: Outbox, service: Service, bench: Bench, count: int) -> None:
    for _ in range(count):
        outbox.put(bench.sample(OVERDUE_S))
    await service.rounds()


async def test_the_backlog_comes_oldest_first_and_nothing_twice(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await stored_beats(outbox, service, bench, 10)
        first = await backlog(outbox, limit=4)
        second = await backlog(outbox, limit=4)
        assert [one.seq for one in (*first, *second)] == list(range(1, 9))
        for one in first:
            outbox.backlog.acknowledge(one.row)
        third = await backlog(outbox)
        assert [one.seq for one in third] == [9, 10]
        await service.rounds()
        assert bench.stored_seqs() == [5, 6, 7, 8, 9, 10]
        more = asyncio.create_task(outbox.backlog.next_batch(ALL, tuple))
        await service.rounds()
        assert not more.done()
        # New ones wake who waits.
        await stored_beats(outbox, service, bench, 2)
        assert [one.seq for one in await soon(more)] == [11, 12]


async def test_what_is_released_keeps_its_place(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await stored_beats(outbox, service, bench, 6)
        first = await backlog(outbox, limit=4)
        for one in first[1:3]:
            outbox.backlog.release(one.row)
        assert [one.seq for one in await backlog(outbox)] == [2, 3, 5, 6]


async def test_a_lost_connection_releases_all_but_what_was_delivered(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await stored_beats(outbox, service, bench, 5)
        first = await backlog(outbox, limit=4)
        outbox.backlog.acknowledge(first[1].row)
        outbox.requeue_unacknowledged()
        assert [one.seq for one in await backlog(outbox)] == [1, 3, 4, 5]
        await service.rounds()
        assert bench.stored_seqs() == [1, 3, 4, 5]


async def test_what_was_delivered_is_not_given_out_again_while_it_cannot_be_deleted(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await stored_beats(outbox, service, bench, 3)
        first = await backlog(outbox, limit=2)
        with failing_disk():
            for one in first:
                outbox.backlog.acknowledge(one.row)
            deleting = asyncio.create_task(service.failed())
            # A connection that ends while the disk is at it, and after it.
            async with asyncio.timeout(BOUND_S):
                while not deleting.done():
                    outbox.requeue_unacknowledged()
                    await asyncio.sleep(0)
            await deleting
        assert [one.seq for one in await backlog(outbox) if one.peripheral] == [3]
        await service.rounds()
        assert bench.stored_seqs() == [3]


async def test_streams_to_skip_are_left_out_and_come_later(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for peripheral in ("strap", "scale") * 3:
            outbox.put(bench.sample(OVERDUE_S, peripheral=peripheral))
        await service.rounds()
        others = await soon(outbox.backlog.next_batch(ALL, lambda: [("strap", "beat")]))
        assert {one.peripheral for one in others} == {"scale"}
        assert {one.peripheral for one in await backlog(outbox)} == {"strap"}


async def test_a_stored_sample_is_what_was_measured(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        sample = bench.sample(OVERDUE_S, size=10)
        outbox.put(sample)
        await service.rounds()
        (stored,) = await backlog(outbox)
        assert stored.payload == sample.payload()
        assert stored.stamp == sample.stamp
        assert (stored.schema, stored.boot) == (sample.schema, bench.run.boot)


# Settled, stats


async def test_settled_waits_for_the_last_acknowledgement(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox):
        await soon(outbox.live.settled())
        for _ in range(3):
            outbox.put(bench.sample())
        settled = asyncio.create_task(outbox.live.settled())
        sent = await take(outbox, 3)
        for one in sent:
            await turns()
            assert not settled.done()
            outbox.live.acknowledge(one)
        await soon(settled)
        outbox.put(bench.sample())
        again = asyncio.create_task(outbox.live.settled())
        await turns()
        assert not again.done()
        again.cancel()


async def test_settled_counts_what_went_to_disk_instead(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox):
        outbox.put(bench.sample(OVERDUE_S))
        outbox.put(bench.sample())
        # The second one was not refused before the first one had gone.
        settled = asyncio.create_task(outbox.live.settled())
        await turns()
        assert not settled.done()
        taken = await soon(outbox.live.next_pending())
        while taken.sample.seq != 2:
            taken = await soon(outbox.live.next_pending())
        outbox.live.refuse(taken)
        outbox.requeue_unacknowledged()
        await soon(settled)
        assert sorted(bench.stored_seqs()) == [1, 2]


@pytest.mark.parametrize("write", ["around", "through"])
async def test_settled_after_a_refusal(bench: Bench, write: str) -> None:
    async with bench.outbox(write=write) as outbox, Service(outbox):
        outbox.put(bench.sample())
        outbox.live.refuse(await soon(outbox.live.next_pending()))
        await soon(outbox.live.settled())
        assert bench.stored_seqs() == [1]


async def test_stats_count_memory_and_disk(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        assert await outbox.stats() == {
            "state": "ok",
            "in_memory": 0,
            "on_disk": 0,
            "payload_bytes": 0,
            "age_s": 0,
            "evicted": 0,
            "streams": {},
            "parked": [],
        }
        old = [bench.sample(3600), bench.sample(60)]
        for sample in old:
            outbox.put(sample)
        await service.rounds()
        for _ in range(3):
            outbox.put(bench.sample())
        await take(outbox, 1)
        stats = await outbox.stats()
        assert (stats["in_memory"], stats["on_disk"]) == (3, 2)
        assert stats["payload_bytes"] == sum(len(sample.payload()) for sample in old)
        assert 3600 <= stats["age_s"] < 3600 + BOUND_S


# Records that a device has stored


def record(bench: Bench, number: int, *, stored: bool = False) -> Sample:
    run, where = bench.run, Record("", number, "noon")
    return run.sample("meter", "beat", Beat(), None, 0, where, stored=stored)


def noted(bench: Bench) -> list[tuple[int, int]]:
    """Number, and whether it is the end of what is complete, as another process sees it."""
    return look(bench.path, "SELECT number, whole FROM records ORDER BY number")


async def test_a_record_is_committed_with_its_note_before_anybody_else_has_it(bench: Bench) -> None:
    async with bench.outbox() as outbox:
        outbox.put(record(bench, 1))
        outbox.put(bench.sample())
        # Nothing is sent before the service commits; others are not kept waiting.
        [beat] = await take(outbox, 1)
        assert beat.sample.peripheral == "strap"
        async with Service(outbox):
            [one] = await take(outbox, 1)
            assert one.sample.record == Record("", 1, "noon")
            assert noted(bench) == [(1, 0)]
            assert bench.stored_seqs() == [1]


async def test_once_acknowledged_a_record_stays_known(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(record(bench, 1))
        for one in await take(outbox, 1):
            outbox.live.acknowledge(one)
        await service.rounds()
        assert bench.stored() == []
        assert noted(bench) == [(1, 0)]
    bench.next_run()
    async with bench.outbox() as outbox:
        assert outbox.records == {"meter": {("beat", Record("", 1, "noon")): False}}


async def test_stored_records_go_to_the_history_in_order(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for number in (1, 2, 3):
            outbox.put(record(bench, number, stored=True))
        outbox.put(record(bench, 4))
        [newest] = await take(outbox, 1)
        assert newest.sample.seq == 4
        await service.rounds()
        assert [one.seq for one in await backlog(outbox)] == [1, 2, 3]
        assert len(outbox.live) == 1


async def test_what_is_settled_is_settled_behind_what_was_put(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for number in (1, 2):
            outbox.put(record(bench, number, stored=True))
        first, second = (("beat", Record("", number, "noon")) for number in (1, 2))
        outbox.update_records("meter", [first], {second: True})
        await service.rounds()
        assert noted(bench) == [(2, 1)]


async def test_while_the_disk_fails_a_record_is_sent_and_noted_when_it_is_back(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            outbox.put(record(bench, 1, stored=True))
            outbox.update_records("meter", [], {("beat", Record("", 1, "noon")): True})
            await service.failed()
            [one] = await take(outbox, 1)
            assert one.sample.seq == 1
        await service.rounds()
        assert noted(bench) == [(1, 1)]
