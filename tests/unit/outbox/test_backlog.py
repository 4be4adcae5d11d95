"""The backlog: order, what is on its way, skipped streams, and parked topics."""

import asyncio
import threading
from typing import Any

import pytest

from healthd.events import AdapterEvent, OutboxEvent
from healthd.outbox.outbox import Outbox
from healthd.outbox.schema import Stored
from healthd.outbox.store import Store
from healthd.samples import ClockState, Measurement
from tests.unit.outbox.bench import (
    ALL,
    BOUND_S,
    OVERDUE_S,
    Bench,
    Service,
    failing_disk,
    next_history,
    next_live,
    select,
    soon,
)


async def store_beats(outbox: Outbox, service: Service, bench: Bench, count: int) -> None:
    for _ in range(count):
        outbox.put(bench.sample(OVERDUE_S))
    await service.rounds()


async def test_rows_of_skipped_streams_are_read_only_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic that is parked for days has many rows, and each new row wakes the publisher."""
    starts: list[int] = []
    oldest = Store.oldest

    def watched(store: Store, limit: int, skip: Any, after: int) -> list[Stored]:
        starts.append(after)
        return oldest(store, limit, skip, after)

    monkeypatch.setattr(Store, "oldest", watched)
    skipped = [("strap", "parked")]
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(50):
            outbox.put(bench.sample(OVERDUE_S, "parked"))
        reading = asyncio.create_task(outbox.backlog.next_batch(ALL, lambda: skipped))
        await service.rounds()
        for _ in range(2):
            outbox.put(bench.sample(OVERDUE_S, "parked"))
            await service.rounds()
        assert starts[-1] >= 50
        assert not reading.done()
        skipped.clear()
        outbox.backlog.wake()
        assert len(await soon(reading)) == 52
        assert starts[-1] == 0


async def test_rows_wait_no_longer_for_a_live_sample_that_is_acknowledged_during_the_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, acknowledged = threading.Event(), threading.Event()
    oldest = Store.oldest

    def slowly(store: Store, limit: int, skip: Any, after: int) -> list[Stored]:
        rows = oldest(store, limit, skip, after)
        reading.set()
        assert acknowledged.wait(BOUND_S)
        return rows

    async with bench.outbox(write="through") as outbox, Service(outbox) as service:
        outbox.put(bench.sample())
        await service.rounds()
        (live,) = await next_live(outbox, 1)
        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        # The second one is history, and must not overtake the first one.
        assert (live.row, bench.stored_seqs()) == (1, [1, 2])
        monkeypatch.setattr(Store, "oldest", slowly)
        batch = asyncio.create_task(next_history(outbox))
        assert await asyncio.to_thread(reading.wait, BOUND_S)
        outbox.live.acknowledge(live)
        acknowledged.set()
        assert [stored.seq for stored in await batch] == [2]


async def test_the_backlog_follows_a_start_after_a_pause(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draining uses a whole core, which links and live samples need first."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        await store_beats(outbox, service, bench, 1)
    bench.next_run()
    monkeypatch.setattr("healthd.outbox.backlog.START_PAUSE_S", 0.5)
    async with bench.outbox() as outbox, Service(outbox) as service:
        loop = asyncio.get_running_loop()
        opened_s = loop.time()
        reading = asyncio.create_task(next_history(outbox))
        outbox.put(bench.sample())
        # A live sample does not wait.
        (pending,) = await next_live(outbox, 1)
        assert pending.sample.stream == "beat"
        assert not reading.done()
        assert [stored.stream for stored in await reading] == ["beat"]
        assert loop.time() - opened_s > 0.4
        # Later batches follow at once.
        await store_beats(outbox, service, bench, 1)
        assert await next_history(outbox)


async def test_a_row_released_during_a_read_is_read_again(
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
        first, *_ = await next_history(outbox, limit=2)
        monkeypatch.setattr(Store, "oldest", slowly)
        reading = asyncio.create_task(outbox.backlog.next_batch(1, tuple))
        await soon(began.wait())
        outbox.backlog.release(first.row)
        released.set()
        assert [stored.seq for stored in await soon(reading)] == [3]
        assert [stored.seq for stored in await next_history(outbox, limit=1)] == [1]


async def test_samples_in_flight_are_not_evicted_until_the_connection_is_lost(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:

        async def fill_up() -> None:
            while (await outbox.stats())["evicted"] == before:
                for _ in range(100):
                    outbox.put(bench.sample(OVERDUE_S, size=1200))
                await service.rounds()

        outbox.put(bench.sample(OVERDUE_S))
        await service.rounds()
        assert [stored.seq for stored in await next_history(outbox)] == [1]
        before = 0
        await fill_up()
        assert bench.stored_seqs()[0] == 1
        outbox.requeue_unacknowledged()
        before = (await outbox.stats())["evicted"]
        await fill_up()
        assert bench.stored_seqs()[0] > 1


async def test_a_stream_is_parked_while_either_of_its_topics_is(bench: Bench) -> None:
    strap = ("strap", "beat")
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.note_parked(strap, "live", "not authorized")
        outbox.note_parked(strap, "live/history", "not authorized")
        outbox.note_parked(strap, "live", None)
        await service.rounds()
        assert select(bench.path, "SELECT topic FROM parked") == [("live/history",)]
        assert (await outbox.stats())["parked"] == ["live/history"]
        outbox.note_parked(strap, "live/history", None)
        await service.rounds()
        assert select(bench.path, "SELECT topic FROM parked") == []
        assert (await outbox.stats())["parked"] == []


async def test_each_sample_is_handed_out_once_oldest_first(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await store_beats(outbox, service, bench, 10)
        first = await next_history(outbox, limit=4)
        second = await next_history(outbox, limit=4)
        assert [stored.seq for stored in (*first, *second)] == list(range(1, 9))
        for stored in first:
            outbox.backlog.acknowledge(stored.row)
        third = await next_history(outbox)
        assert [stored.seq for stored in third] == [9, 10]
        await service.rounds()
        assert bench.stored_seqs() == [5, 6, 7, 8, 9, 10]
        more = asyncio.create_task(outbox.backlog.next_batch(ALL, tuple))
        await service.rounds()
        assert not more.done()
        # New rows wake a waiting reader.
        await store_beats(outbox, service, bench, 2)
        assert [stored.seq for stored in await soon(more)] == [11, 12]


async def test_a_released_sample_keeps_its_place(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await store_beats(outbox, service, bench, 6)
        first = await next_history(outbox, limit=4)
        for stored in first[1:3]:
            outbox.backlog.release(stored.row)
        assert [stored.seq for stored in await next_history(outbox)] == [2, 3, 5, 6]


async def test_a_lost_connection_releases_all_but_delivered_samples(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await store_beats(outbox, service, bench, 5)
        first = await next_history(outbox, limit=4)
        outbox.backlog.acknowledge(first[1].row)
        outbox.requeue_unacknowledged()
        assert [stored.seq for stored in await next_history(outbox)] == [1, 3, 4, 5]
        await service.rounds()
        assert bench.stored_seqs() == [1, 3, 4, 5]


async def test_delivered_samples_are_not_handed_out_again_while_they_cannot_be_deleted(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        await store_beats(outbox, service, bench, 3)
        first = await next_history(outbox, limit=2)
        with failing_disk():
            for stored in first:
                outbox.backlog.acknowledge(stored.row)
            deleting = asyncio.create_task(service.failed())
            # The connection is lost while the disk tries to delete them, and afterwards.
            async with asyncio.timeout(BOUND_S):
                while not deleting.done():
                    outbox.requeue_unacknowledged()
                    await asyncio.sleep(0)
            await deleting
        assert [stored.seq for stored in await next_history(outbox) if stored.peripheral] == [3]
        await service.rounds()
        assert bench.stored_seqs() == [3]


async def test_skipped_streams_are_left_out_and_come_later(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for peripheral in ("strap", "scale") * 3:
            outbox.put(bench.sample(OVERDUE_S, peripheral=peripheral))
        await service.rounds()
        others = await soon(outbox.backlog.next_batch(ALL, lambda: [("strap", "beat")]))
        assert {stored.peripheral for stored in others} == {"scale"}
        assert {stored.peripheral for stored in await next_history(outbox)} == {"strap"}


async def test_a_stored_sample_equals_what_was_measured(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        sample = bench.sample(OVERDUE_S, size=10)
        outbox.put(sample)
        await service.rounds()
        (stored,) = await next_history(outbox)
        assert stored.payload == sample.payload()
        assert stored.stamp == sample.stamp
        assert stored.schema == sample.schema


@pytest.mark.parametrize(("clock", "boot"), [("unsynced", "boot"), ("synced", "")])
async def test_only_a_time_that_may_be_corrected_is_stored_with_its_boot(
    bench: Bench, clock: ClockState, boot: str
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S, clock=clock))
        await service.rounds()
        (stored,) = await next_history(outbox)
        assert (stored.stamp.clock, stored.boot) == (clock, boot)


async def test_an_event_that_is_left_out_is_not_read_again_and_again(bench: Bench) -> None:
    """An event may be too large for the broker, and each read begins with the oldest events."""

    def put(measurement: Measurement) -> None:
        event = bench.run.event(measurement)
        outbox.put(event._replace(stamp=event.stamp.earlier(int(OVERDUE_S * 1e9))))

    async with bench.outbox() as outbox, Service(outbox) as service:
        put(OutboxEvent(change="parked", detail=""))
        await service.rounds()
        (event,) = await next_history(outbox)
        outbox.backlog.leave_out(event)
        reading = asyncio.create_task(outbox.backlog.next_batch(ALL, tuple))
        await service.rounds()
        assert not reading.done()
        # What is younger is not kept back by it.
        put(AdapterEvent(change="on", adapter="hci0", detail=""))
        await service.rounds()
        (other,) = await soon(reading)
        assert other.stream == "event/adapter"
        outbox.backlog.read_left_out()
        assert await next_history(outbox) == [event]
