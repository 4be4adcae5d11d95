"""The live path: order, acknowledgements, refusals, and when everything is settled."""

import asyncio
from typing import Any

import pytest

from healthd.outbox.pending import SAMPLE_BYTES
from healthd.outbox.store import Store
from tests.support.live_path import next_pending
from tests.unit.outbox.bench import (
    ALL,
    BOUND_S,
    OVERDUE_S,
    Bench,
    Service,
    next_history,
    next_live,
    run_ready_tasks,
    select,
    seqs,
    soon,
)


async def test_an_old_unacknowledged_sample_is_stored_and_stays_on_the_live_path(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        (sent,) = await next_live(outbox, 1)
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
        # It is on disk, and the event loop does not know that yet.
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(acked.wait(), loop).result(BOUND_S)
        return rows

    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        (sent,) = await next_live(outbox, 1)
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


async def test_a_lost_connection_requeues_sent_samples_in_order(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox):
        for _ in range(10):
            outbox.put(bench.sample())
        sent = await next_live(outbox, 6)
        for pending in (sent[1], sent[4]):
            outbox.live.acknowledge(pending)
        outbox.requeue_unacknowledged()
        outbox.put(bench.sample())
        assert seqs(await next_live(outbox, 9)) == [1, 3, 4, 6, 7, 8, 9, 10, 11]


async def test_an_acknowledgement_after_requeueing_still_counts(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(3):
            outbox.put(bench.sample())
        sent = await next_live(outbox, 2)
        outbox.requeue_unacknowledged()
        outbox.live.acknowledge(sent[0])
        assert seqs(await next_live(outbox, 2)) == [2, 3]
        await service.rounds()
        assert bench.stored() == []


async def test_an_old_unacknowledged_sample_becomes_history_after_a_lost_connection(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        await next_live(outbox, 1)
        await service.rounds()
        outbox.requeue_unacknowledged()
        await service.rounds()
        assert [stored.seq for stored in await next_history(outbox)] == [1]
        young = bench.sample()
        outbox.put(young)
        assert (await soon(next_pending(outbox.live))).sample is young


async def test_a_refused_sample_is_stored_at_once_and_leaves_the_live_path(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(3):
            outbox.put(bench.sample())
        first, second, _ = await next_live(outbox, 3)
        outbox.live.acknowledge(first)
        outbox.live.refuse(second)
        await service.rounds()
        assert bench.stored_seqs() == [2]
        assert [stored.seq for stored in await next_history(outbox)] == [2]
        outbox.requeue_unacknowledged()
        assert seqs(await next_live(outbox, 1)) == [3]


async def test_a_refused_sample_waits_for_older_unanswered_samples_of_its_stream(
    bench: Bench,
) -> None:
    """The older samples may be refused as well, and history has to be in order."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(3):
            outbox.put(bench.sample())
        outbox.put(bench.sample(stream="other"))
        first, second, third, other = await next_live(outbox, 4)
        outbox.live.refuse(third)
        outbox.live.refuse(other)
        await service.rounds()
        assert select(bench.path, "SELECT stream FROM pending") == [("other",)]
        outbox.live.refuse(first)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        outbox.live.acknowledge(second)
        await service.rounds()
        assert bench.stored_seqs() == [1, 3]


async def test_a_refused_sample_waits_only_until_the_older_ones_are_overdue(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        outbox.put(bench.sample(OVERDUE_S))
        _, second = await next_live(outbox, 2)
        outbox.live.refuse(second)
        await service.rounds()
        assert bench.stored_seqs() == [1, 2]


async def test_a_refused_sample_that_is_already_stored_becomes_history(
    bench: Bench,
) -> None:
    async with bench.outbox() as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        (sent,) = await next_live(outbox, 1)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        history = asyncio.create_task(outbox.backlog.next_batch(ALL, tuple))
        await service.rounds()
        outbox.live.refuse(sent)
        await service.rounds()
        assert bench.stored_seqs() == [1]
        # Both end without another sample that would trigger them.
        await soon(outbox.live.settled())
        assert [stored.seq for stored in await soon(history)] == [1]


async def test_memory_is_bounded_and_keeps_the_newest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live.MEMORY_BYTES", 50 * SAMPLE_BYTES)
    async with bench.outbox() as outbox:
        for _ in range(80):
            outbox.put(bench.sample())
        assert (await outbox.stats())["in_memory"] == 50
        assert seqs(await next_live(outbox, 50)) == list(range(31, 81))


async def test_settled_waits_for_the_last_acknowledgement(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox):
        await soon(outbox.live.settled())
        for _ in range(3):
            outbox.put(bench.sample())
        settled = asyncio.create_task(outbox.live.settled())
        sent = await next_live(outbox, 3)
        for pending in sent:
            await run_ready_tasks()
            assert not settled.done()
            outbox.live.acknowledge(pending)
        await soon(settled)
        outbox.put(bench.sample())
        again = asyncio.create_task(outbox.live.settled())
        await run_ready_tasks()
        assert not again.done()
        again.cancel()


async def test_stored_samples_count_as_settled(bench: Bench) -> None:
    async with bench.outbox() as outbox, Service(outbox):
        outbox.put(bench.sample(OVERDUE_S))
        outbox.put(bench.sample())
        settled = asyncio.create_task(outbox.live.settled())
        await run_ready_tasks()
        assert not settled.done()
        pending = await soon(next_pending(outbox.live))
        # The first sample may still be on the live path, or be stored already.
        while pending.sample.seq != 2:
            pending = await soon(next_pending(outbox.live))
        outbox.live.refuse(pending)
        outbox.requeue_unacknowledged()
        await soon(settled)
        assert sorted(bench.stored_seqs()) == [1, 2]


@pytest.mark.parametrize("write", ["around", "through"])
async def test_a_refused_sample_is_settled_once_it_is_stored(bench: Bench, write: str) -> None:
    async with bench.outbox(write=write) as outbox, Service(outbox):
        outbox.put(bench.sample())
        outbox.live.refuse(await soon(next_pending(outbox.live)))
        await soon(outbox.live.settled())
        assert bench.stored_seqs() == [1]
