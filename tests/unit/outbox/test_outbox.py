"""The outbox as a whole: what is stored when, the quota, the end of a run, and counters."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from healthd.outbox.disk import Disk
from healthd.outbox.outbox import SPILL_AFTER_S, Outbox
from healthd.outbox.pending import SAMPLE_BYTES
from healthd.outbox.store import Store
from healthd.samples import Sample
from tests.support.live_path import next_pending
from tests.unit.outbox.bench import (
    BOUND_S,
    OVERDUE_S,
    YOUNG_S,
    Bench,
    Service,
    lost_seqs,
    next_history,
    next_live,
    reported_gaps,
    soon,
    stored_gaps,
)

# Memory and disk


class Watched:
    """Shows whether anything at all is written to the store's files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path)

    def close(self) -> None:
        self._db.close()

    def state(self) -> tuple[Any, ...]:
        version = self._db.execute("PRAGMA data_version").fetchone()
        files = (self._path, Path(f"{self._path}-wal"))
        return version, [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]


async def test_samples_acknowledged_in_time_never_touch_the_disk(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample())
        for pending in await next_live(outbox, 1):
            outbox.live.acknowledge(pending)
        # After this the quota is claimed, and the stream's first certain sample is noted.
        await service.rounds()
        with closing(Watched(bench.path)) as watched:
            before = watched.state()
            for _ in range(5):
                samples = [bench.sample(YOUNG_S) for _ in range(30)]
                for sample in samples:
                    outbox.put(sample)
                await service.rounds()  # unacknowledged all the time
                sent = await next_live(outbox, 30)
                assert [pending.sample for pending in sent] == samples
                await service.rounds()
                for pending in sent:
                    outbox.live.acknowledge(pending)
                await service.rounds()
            assert watched.state() == before
        assert bench.stored() == []
        assert (await outbox.stats())["in_memory"] == 0
    assert bench.stored() == []


async def test_a_sample_that_waits_too_long_is_stored_once_and_leaves_the_live_path(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        young = bench.sample(YOUNG_S)
        outbox.put(young)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        assert (await soon(next_pending(outbox.live))).sample is young
        (stored,) = await next_history(outbox)
        assert (stored.seq, stored.stream, stored.run) == (1, "beat", bench.run.id)
        assert (await outbox.stats())["in_memory"] == 1


async def test_what_is_younger_is_stored_with_what_waits_too_long_and_stays_live(
    bench: Bench,
) -> None:
    """One commit for all that waits writes half as much in an outage as one for each tick."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        young = bench.sample(YOUNG_S)
        outbox.put(young)
        await service.rounds()
        assert bench.stored_seqs() == [1, 2]
        (stored,) = await next_history(outbox)
        assert stored.seq == 1
        pending = await soon(next_pending(outbox.live))
        assert pending.sample is young
        outbox.live.acknowledge(pending)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        assert (await outbox.stats())["in_memory"] == 0


async def test_a_sample_is_stored_within_two_seconds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", SPILL_AFTER_S)
    async with bench.outbox() as outbox, Service(outbox) as service:
        # The service wakes up at that age. A quarter of a second is left for the commit.
        outbox.put(bench.sample(1.75))
        await service.rounds()
        assert bench.stored_seqs() == [1]


async def test_a_sample_that_grows_old_between_two_ticks_does_not_wait_for_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", 0.5)
    monkeypatch.setattr("healthd.outbox.outbox._TICK_S", 10 * BOUND_S)
    async with bench.outbox() as outbox:
        # The first tick sees it while it is young.
        outbox.put(bench.sample())
        async with Service(outbox):
            (stored,) = await next_history(outbox)
        assert stored.seq == 1


async def test_a_stored_sample_leaves_the_live_path_when_it_is_old_although_nothing_else_happens(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", 0.5)
    for period in ("_TICK_S", "_LOOK_S"):
        monkeypatch.setattr(f"healthd.outbox.outbox.{period}", 10 * BOUND_S)
    async with bench.outbox(write="through") as outbox, Service(outbox):
        outbox.put(bench.sample())
        (stored,) = await next_history(outbox)
        assert stored.seq == 1
        assert (await outbox.stats())["in_memory"] == 0


async def test_a_stored_sample_that_was_sent_is_late_if_its_connection_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", 5.0)
    for period in ("_TICK_S", "_LOOK_S"):
        monkeypatch.setattr(f"healthd.outbox.outbox.{period}", 10 * BOUND_S)
    async with bench.outbox(write="through") as outbox, Service(outbox) as service:
        outbox.put(bench.sample())
        (sent,) = await next_live(outbox, 1)
        assert sent.row is not None
        await resting(service)
        monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", 0.0)  # it is old from now on
        outbox.live.requeue_sent()
        (stored,) = await next_history(outbox)
        assert stored.seq == 1


# Many times longer than a tick of the service here.
TICKS_S = 0.2


async def deliver(outbox: Outbox, sample: Sample) -> None:
    """Take a sample, send it, and have it acknowledged."""
    outbox.put(sample)
    (sent,) = await next_live(outbox, 1)
    outbox.live.acknowledge(sent)


async def resting(service: Service) -> None:
    """Wait until the service has done all that is due."""
    async with asyncio.timeout(BOUND_S):
        before = -1
        while service.rounds_done != before:
            before = service.rounds_done
            await asyncio.sleep(TICKS_S)


@asynccontextmanager
async def at_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[Outbox, Service]]:
    """Yield an outbox that has nothing to do: one sample was delivered, and all is noted."""
    monkeypatch.setattr("healthd.outbox.outbox._LOOK_S", 10 * BOUND_S)
    async with bench.outbox() as outbox, Service(outbox) as service:
        await deliver(outbox, bench.sample())
        await resting(service)
        yield outbox, service


async def test_at_rest_nothing_wakes_the_service(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_rest(bench, monkeypatch) as (_, service):
        before = service.rounds_done
        await asyncio.sleep(TICKS_S)
        assert service.rounds_done == before > 0


async def test_while_samples_are_acknowledged_the_disk_is_left_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = list[object]()
    call = Disk.call

    async def counted(disk: Disk, work: Callable[[Store], Any]) -> Any:
        calls.append(work)
        return await call(disk, work)

    monkeypatch.setattr(Disk, "call", counted)
    async with at_rest(bench, monkeypatch) as (outbox, _):
        assert calls
        calls.clear()
        for _ in range(5):
            await deliver(outbox, bench.sample())
            await asyncio.sleep(TICKS_S / 5)
        assert calls == []


async def test_a_sample_notes_in_its_turn_what_was_acknowledged_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service does not have to wake up for it."""
    async with at_rest(bench, monkeypatch) as (outbox, _):
        outbox.put(bench.sample())
        (sent,) = await next_live(outbox, 1)
        await asyncio.sleep(TICKS_S)
        # Between these lines nothing else can run.
        outbox.live.acknowledge(sent)
        assert bench.noted_seq() == 1
        outbox.put(bench.sample())
        assert bench.noted_seq() == 2


async def test_after_the_last_sample_it_is_noted_that_it_was_acknowledged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_rest(bench, monkeypatch) as (outbox, _):
        for number in (2, 3):
            await deliver(outbox, bench.sample())
            async with asyncio.timeout(BOUND_S):
                while bench.noted_seq() != number:  # noqa: ASYNC110 (a file has no event)
                    await asyncio.sleep(0.01)


async def test_at_rest_a_sample_that_is_not_acknowledged_is_stored_in_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_rest(bench, monkeypatch) as (outbox, _):
        monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", 0.5)
        outbox.put(bench.sample())
        (stored,) = await next_history(outbox)
        assert stored.seq == 2


async def test_samples_that_are_acknowledged_do_not_put_off_one_that_is_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_rest(bench, monkeypatch) as (outbox, _):
        monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", 0.5)
        outbox.put(bench.sample())
        await next_live(outbox, 1)
        async with asyncio.timeout(BOUND_S):
            while not bench.stored():
                await deliver(outbox, bench.sample(stream="other"))
                await asyncio.sleep(0.02)
        assert bench.stored_seqs() == [2]


async def test_many_waiting_samples_are_committed_before_they_are_old(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live._PRESSURE_BYTES", 100 * SAMPLE_BYTES)
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(99):
            outbox.put(bench.sample())
        await service.rounds()
        assert bench.stored() == []
        outbox.put(bench.sample())
        await service.rounds()
        assert bench.stored_seqs() == list(range(1, 101))
        assert (await outbox.stats())["in_memory"] == 0


# The quota


async def put_more_than_the_quota(outbox: Outbox, service: Service, bench: Bench) -> None:
    """Store 1,000 samples, about 700 of which fit."""
    for _ in range(10):
        for _ in range(100):
            outbox.put(bench.sample(OVERDUE_S, size=1200))
        await service.rounds()


async def test_reaching_the_quota_evicts_the_oldest_samples_and_reports_them(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        await put_more_than_the_quota(outbox, service, bench)
        kept = bench.stored_seqs()
        assert 1 < kept[0] < 1000
        assert kept == list(range(kept[0], 1001))
        reported = await reported_gaps(outbox)
        assert (await outbox.stats())["evicted"] == kept[0] - 1
    assert {gap["reason"] for gap in reported} == {"evicted"}
    assert lost_seqs(reported) == list(range(1, kept[0]))
    assert sum(gap["count"] for gap in reported) == kept[0] - 1


async def test_evicted_samples_of_a_refused_topic_are_reported_as_refused(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        outbox.note_parked(("strap", "beat"), "topic", "not authorized")
        await put_more_than_the_quota(outbox, service, bench)
        assert {gap["reason"] for gap in await reported_gaps(outbox)} == {"refused"}


# The end of a run


async def test_the_last_commit_stores_everything_and_the_next_run_delivers_it(bench: Bench) -> None:
    first_run = bench.run.id
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        for _ in range(5):
            outbox.put(bench.sample())
        acked, _, refused = await next_live(outbox, 3)
        outbox.live.acknowledge(acked)
        outbox.live.refuse(refused)
    expected = [(first_run, seq) for seq in (1, 3, 4, 5, 6)]
    assert sorted(bench.stored()) == expected
    bench.next_run()
    async with bench.outbox() as outbox, Service(outbox) as service:
        history = await next_history(outbox)
        assert sorted((stored.run, stored.seq) for stored in history) == expected
        for stored in history:
            outbox.backlog.acknowledge(stored.row)
        await service.rounds()
        assert bench.stored() == []


@pytest.mark.parametrize("write", ["around", "through"])
async def test_a_stop_during_a_commit_stores_everything_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    append = Store.append

    def slowly(store: Store, entries: Any, spare: Any) -> list[int]:
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(BOUND_S)
        return append(store, entries, spare)

    async with bench.outbox(write=write) as outbox:
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


async def test_evictions_by_the_last_commit_are_reported_by_the_next_run(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        evicted = 0
        while not evicted:
            for _ in range(50):
                outbox.put(bench.sample(OVERDUE_S, size=1200))
            await service.rounds()
            evicted = (await outbox.stats())["evicted"]
        # Twice as many as there is room for, so that the last commit evicts again.
        for _ in range(2 * evicted):
            outbox.put(bench.sample(size=1200))
    kept = bench.stored_seqs()
    assert kept[0] > evicted + 1, "the last commit evicted nothing"
    bench.next_run()
    async with bench.outbox() as outbox:
        history = await next_history(outbox)
    reported = [orjson.loads(stored.payload) for stored in history if stored.stream == "event/gap"]
    assert sorted(lost_seqs(reported)) == list(range(1, kept[0]))


async def test_samples_dropped_before_the_stop_are_reported_by_the_next_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live.MEMORY_BYTES", 10 * SAMPLE_BYTES)
    async with bench.outbox() as outbox:
        for _ in range(15):
            outbox.put(bench.sample())
    kept = bench.stored_seqs()
    assert kept == list(range(kept[0], 16))
    assert 5 < kept[0] < 10  # the gap event itself may take a place
    assert sorted(lost_seqs(stored_gaps(bench.path))) == list(range(1, kept[0]))


# Counters


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
        old = [bench.sample(3600), bench.sample(OVERDUE_S)]
        for sample in old:
            outbox.put(sample)
        await service.rounds()
        for _ in range(3):
            outbox.put(bench.sample())
        await next_live(outbox, 1)
        stats = await outbox.stats()
        assert (stats["in_memory"], stats["on_disk"]) == (3, 2)
        assert stats["payload_bytes"] == sum(len(sample.payload()) for sample in old)
        assert 3600 <= stats["age_s"] < 3600 + BOUND_S
