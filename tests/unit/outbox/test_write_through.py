"""``write = "through"``: every sample is committed before it is sent."""

import asyncio
from typing import Any

import pytest

from healthd.outbox.outbox import Outbox
from healthd.outbox.store import Store
from tests.support.live_path import next_pending
from tests.unit.outbox.bench import (
    ALL,
    BOUND_S,
    OVERDUE_S,
    Bench,
    Service,
    failing_disk,
    next_beats,
    next_history,
    next_live,
    seqs,
    soon,
)


def write_through(bench: Bench) -> Outbox:
    return bench.outbox(write="through")


async def test_a_sample_is_committed_before_it_is_sent(bench: Bench) -> None:
    async with write_through(bench) as outbox, Service(outbox) as service:
        for number in range(1, 4):
            outbox.put(bench.sample())
            sent = await soon(next_pending(outbox.live))
            assert sent.sample.seq == number
            assert bench.stored_seqs() == [number]
            outbox.live.acknowledge(sent)
            await service.rounds()
            assert bench.stored_seqs() == []


async def test_samples_are_committed_in_groups(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    append = Store.append

    def counted(store: Store, entries: list[Any], spare: Any) -> list[int]:
        commits.append(len(entries))
        return append(store, entries, spare)

    monkeypatch.setattr(Store, "append", counted)
    async with write_through(bench) as outbox, Service(outbox):
        for _ in range(100):
            outbox.put(bench.sample())
        assert seqs(await next_live(outbox, 100)) == list(range(1, 101))
        assert commits == [100]


async def test_each_sample_is_stored_once(bench: Bench) -> None:
    async with write_through(bench) as outbox, Service(outbox) as service:
        outbox.put(bench.sample(OVERDUE_S))
        outbox.put(bench.sample())
        await service.rounds()
        # The old sample has left the live path: it is history.
        assert seqs(await next_live(outbox, 1)) == [2]
        assert [stored.seq for stored in await next_history(outbox)] == [1]
        outbox.requeue_unacknowledged()
        await service.rounds()
        assert bench.stored_seqs() == [1, 2]


async def test_an_old_sample_reaches_a_history_reader_that_is_already_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a slow broker the window is full, and no new sample comes that would wake the reader."""
    monkeypatch.setattr("healthd.outbox.outbox.SPILL_AFTER_S", 0.2)
    async with write_through(bench) as outbox, Service(outbox) as service:
        history = asyncio.create_task(outbox.backlog.next_batch(ALL, tuple))
        outbox.put(bench.sample())
        await service.rounds()
        assert bench.stored_seqs() == [1]
        assert [stored.seq for stored in await soon(history)] == [1]
        assert (await outbox.stats())["in_memory"] == 0


async def test_samples_are_sent_while_the_disk_fails(bench: Bench) -> None:
    async with write_through(bench) as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            outbox.put(bench.sample())
            await service.failed()
            outbox.put(bench.sample())
            beats = await next_beats(outbox, 2)
            assert seqs(beats) == [1, 2]
            for pending in beats:
                outbox.live.acknowledge(pending)
        await service.rounds()
        assert bench.stored() == []
        # Samples are committed first again.
        outbox.put(bench.sample())
        await service.rounds()
        assert bench.stored_seqs() == [3]


async def test_the_order_is_kept_when_the_disk_begins_to_fail(
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

    async with write_through(bench) as outbox, Service(outbox) as service:
        await service.rounds()
        monkeypatch.setattr(Store, "append", failing)
        outbox.put(bench.sample())
        await soon(began.wait())
        outbox.put(bench.sample())  # while the first one is being committed
        failed.set()
        await service.first_failure()
        outbox.put(bench.sample())  # straight into memory
        assert seqs(await next_beats(outbox, 3)) == [1, 2, 3]
