"""Events of one kind: one is on its way at a time, and none overtakes one on the disk."""

import asyncio
from typing import Any

import pytest

from healthd.events import AdapterEvent, OutboxEvent
from healthd.outbox.outbox import Outbox
from healthd.outbox.pending import Pending
from healthd.outbox.schema import Stored
from healthd.outbox.store import Store
from tests.support.live_path import next_pending
from tests.unit.outbox.bench import (
    ALL,
    BOUND_S,
    Bench,
    Service,
    failing_disk,
    next_history,
    next_live,
    seqs,
    soon,
)

KIND = ("", "event/outbox")


def put(bench: Bench, outbox: Outbox, count: int = 1) -> None:
    for _ in range(count):
        outbox.put(bench.run.event(OutboxEvent(change="parked", detail="")))


async def nothing_else(outbox: Outbox) -> bool:
    """Return whether no other sample may be sent now."""
    waiting = asyncio.create_task(next_pending(outbox.live))
    await asyncio.sleep(0.05)
    waiting.cancel()
    return not waiting.done()


async def drained(outbox: Outbox, count: int) -> list[int]:
    """Deliver this many stored samples, one at a time; return their numbers."""
    found: list[int] = []
    while len(found) < count:
        first, *others = await next_history(outbox)
        for stored in others:
            outbox.backlog.release(stored.row)
        outbox.acknowledge_stored(first)
        found.append(first.seq)
    return found


async def test_one_event_of_a_kind_is_on_its_way_and_other_kinds_go_on(bench: Bench) -> None:
    async with bench.outbox() as outbox:
        put(bench, outbox, 3)
        outbox.put(bench.run.event(AdapterEvent(change="on", adapter="hci0", detail="")))
        first, other = await next_live(outbox, 2)
        assert [each.sample.stream for each in (first, other)] == [KIND[1], "event/adapter"]
        assert await nothing_else(outbox)
        assert (await outbox.stats())["in_memory"] == 4
        outbox.live.acknowledge(first)
        (second,) = await next_live(outbox, 1)
        # A connection that ends puts it back in front of the one that follows.
        outbox.requeue_unacknowledged()
        again = [each for each in await next_live(outbox, 2) if each.sample_stream == KIND]
        assert again == [second]
        outbox.live.acknowledge(second)
        (third,) = await next_live(outbox, 1)
        assert seqs([first, second, third]) == [1, 2, 3]


async def test_events_follow_a_refused_one_to_the_disk_until_it_is_delivered(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        put(bench, outbox, 3)
        (first,) = await next_live(outbox, 1)
        outbox.live.refuse(first)
        put(bench, outbox)
        assert await nothing_else(outbox)
        await service.rounds()
        assert await drained(outbox, 4) == [1, 2, 3, 4]
        put(bench, outbox)
        assert seqs(await next_live(outbox, 1)) == [5]


async def test_an_event_that_is_acknowledged_after_it_was_stored_holds_up_none(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        put(bench, outbox)
        (first,) = await next_live(outbox, 1)
        outbox.requeue_unacknowledged()
        outbox.live.mark_waiting_urgent()
        await service.rounds()
        assert outbox.live.has_stored_events()
        # The last bytes of the old connection.
        outbox.live.acknowledge(first)
        await service.rounds()
        assert not outbox.live.has_stored_events()
        put(bench, outbox)
        assert seqs(await next_live(outbox, 1)) == [2]


async def test_events_that_cannot_be_stored_are_sent_live(bench: Bench) -> None:
    """One of them says that the disk fails."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            put(bench, outbox)
            (first,) = await next_live(outbox, 1)
            outbox.live.refuse(first)
            await service.failed()
            changes: list[str] = []
            for _ in range(2):
                (event,) = await next_live(outbox, 1)
                changes.append(event.sample.measurement.fields()["change"])
                outbox.live.acknowledge(event)
            assert changes == ["parked", "degraded"]


async def test_the_next_run_delivers_the_stored_events_first(bench: Bench) -> None:
    async with bench.outbox() as outbox:
        put(bench, outbox, 2)
    bench.next_run()
    async with bench.outbox() as outbox, Service(outbox) as service:
        put(bench, outbox)
        assert await nothing_else(outbox)
        await service.rounds()
        assert await drained(outbox, 3) == [1, 2, 1]


async def test_stored_events_are_handed_out_before_stored_samples(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(20):
            outbox.put(bench.sample())
        put(bench, outbox, 2)
        outbox.live.mark_waiting_urgent()
        await service.rounds()
        streams = [stored.stream for stored in await next_history(outbox, limit=5)]
        assert streams == [KIND[1]] * 2
        assert len(await next_history(outbox)) == 20


async def test_younger_history_waits_for_a_live_sample_that_is_not_answered(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(3):
            outbox.put(bench.sample())
        (first,) = await next_live(outbox, 1)
        first.urgent = True
        outbox.live.mark_waiting_urgent()
        await service.rounds()
        history = asyncio.create_task(outbox.backlog.next_batch(ALL, tuple))
        await service.rounds()
        assert not history.done()
        outbox.live.acknowledge(first)
        assert [stored.seq for stored in await soon(history)] == [2, 3]


async def test_an_answer_while_the_disk_is_read_lets_younger_history_go(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, answered = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    oldest = Store.oldest

    def slowly(store: Store, *arguments: Any) -> list[Stored]:
        rows = oldest(store, *arguments)
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(answered.wait(), loop).result(BOUND_S)
        return rows

    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(3):
            outbox.put(bench.sample())
        (first,) = await next_live(outbox, 1)
        first.urgent = True
        outbox.live.mark_waiting_urgent()
        await service.rounds()
        monkeypatch.setattr(Store, "oldest", slowly)
        history = asyncio.create_task(outbox.backlog.next_batch(ALL, tuple))
        await soon(began.wait())
        outbox.live.acknowledge(first)
        answered.set()
        assert [stored.seq for stored in await soon(history)] == [2, 3]


def test_a_pending_sample_names_its_stream(bench: Bench) -> None:
    assert Pending(bench.sample()).sample_stream == ("strap", "beat")
