"""Memory is shared fairly: one peripheral that sends too much takes only its own part."""

import asyncio
from collections import Counter

import pytest

from healthd.events import Gap, LinkEvent
from healthd.outbox.outbox import Outbox
from healthd.outbox.pending import SAMPLE_BYTES
from healthd.outbox.schema import Depth
from healthd.outbox.store import Store
from tests.unit.outbox.bench import (
    BOUND_S,
    OVERDUE_S,
    Bench,
    Service,
    failing_disk,
    lost_seqs,
    next_live,
    reported_gaps,
    soon,
    stored_gaps,
)

QUIET = [f"quiet-{number}" for number in range(7)]


def put_with_flood(bench: Bench, outbox: Outbox, flood: int, age_s: float = 0.0) -> None:
    """Put one sample of each quiet peripheral after many of one that floods."""
    for _ in range(flood):
        outbox.put(bench.sample(age_s, peripheral="flood"))
    for peripheral in QUIET:
        outbox.put(bench.sample(age_s, peripheral=peripheral))


async def test_peripherals_are_sent_in_turn_each_in_its_order(bench: Bench) -> None:
    """Behind a thousand samples of another one, a sample waits for one turn."""
    async with bench.outbox() as outbox:
        put_with_flood(bench, outbox, 1000)
        taken = [pending.sample for pending in await next_live(outbox, 16)]
        assert Counter(each.peripheral for each in taken[:8]) == Counter(["flood", *QUIET])
        assert {each.peripheral for each in taken[8:]} == {"flood"}
        numbers = [each.seq for each in taken if each.peripheral == "flood"]
        assert numbers == list(range(1, 10))
        # What was sent comes back in its place.
        outbox.requeue_unacknowledged()
        again = [pending.sample for pending in await next_live(outbox, 16)]
        assert [each for each in again if each.peripheral == "flood"][:9] == [
            each for each in taken if each.peripheral == "flood"
        ]


async def test_an_event_about_a_peripheral_keeps_its_place_among_its_samples(bench: Bench) -> None:
    async with bench.outbox() as outbox:
        for _ in range(5):
            outbox.put(bench.sample())
            outbox.put(bench.sample(peripheral="other"))
        outbox.put(bench.run.event(LinkEvent(peripheral="strap", change="up")))
        outbox.put(bench.sample())
        taken = [pending.sample for pending in await next_live(outbox, 12)]
        of_strap = [each.stream for each in taken if each.peripheral != "other"]
        assert of_strap == [*["beat"] * 5, "event/link", "beat"]


async def test_without_disk_and_broker_only_who_has_most_loses_samples(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live.MEMORY_BYTES", 100 * SAMPLE_BYTES)
    async with bench.outbox() as outbox, Service(outbox) as service:
        await service.rounds()
        with failing_disk():
            for _ in range(5):
                put_with_flood(bench, outbox, 40, OVERDUE_S)
                await service.failed()
            assert outbox.live.size <= 100 * SAMPLE_BYTES
        await service.rounds()
        reported = [*await reported_gaps(outbox), *stored_gaps(bench.path)]
        counts = (await outbox.stats())["streams"]
    assert {gap["peripheral"] for gap in reported} == {"flood"}
    kept = counts["flood/beat"]
    assert sorted(lost_seqs(reported)) == list(range(1, 201 - kept))
    for peripheral in QUIET:
        assert counts[f"{peripheral}/beat"] == 5


async def test_large_samples_count_by_their_size(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: a frame may take as much memory as hundreds of other samples."""
    monkeypatch.setattr("healthd.outbox.live.MEMORY_BYTES", 100 * SAMPLE_BYTES)
    async with bench.outbox() as outbox:
        for _ in range(30):
            outbox.put(bench.sample(peripheral="small"))
            outbox.put(bench.sample(peripheral="large", size=10 * SAMPLE_BYTES))
        assert outbox.live.size <= 100 * SAMPLE_BYTES
        left = Counter(
            pending.sample.peripheral
            for pending in await next_live(outbox, (await outbox.stats())["in_memory"])
        )
        assert left == Counter(small=30, large=6)
        assert outbox.live.losses.count == 24


@pytest.mark.parametrize("write", ["around", "through"])
async def test_what_waits_for_a_disk_that_hangs_is_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    """A commit that takes minutes: samples wait for it, or behind it, and the newest are kept."""
    monkeypatch.setattr("healthd.outbox.live.MEMORY_BYTES", 50 * SAMPLE_BYTES)
    began, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    async with bench.outbox(write=write) as outbox, Service(outbox) as service:
        await service.rounds()

        def hang(_store: Store) -> Depth:
            loop.call_soon_threadsafe(began.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(BOUND_S)
            return Depth({}, 0, None)

        monkeypatch.setattr(Store, "depth", hang)
        hanging = asyncio.create_task(outbox.stats())
        await soon(began.wait())
        for _ in range(200):
            outbox.put(bench.sample(OVERDUE_S))
        assert outbox.live.size <= 50 * SAMPLE_BYTES
        go_on.set()
        await soon(hanging)
        await service.rounds()
        kept = bench.stored_seqs()
        reported = [*await reported_gaps(outbox), *stored_gaps(bench.path)]
    assert kept[-1] == 200
    # Written through, an event is on the live path and on the disk.
    assert set(lost_seqs(reported)) == set(range(1, 201)) - set(kept)


async def test_under_pressure_only_the_samples_of_who_has_most_leave_the_live_path(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.outbox.live._PRESSURE_BYTES", 100 * SAMPLE_BYTES)
    async with bench.outbox() as outbox, Service(outbox) as service:
        put_with_flood(bench, outbox, 200)
        await service.rounds()
        left = [pending.sample.peripheral for pending in await next_live(outbox, len(QUIET))]
        assert sorted(left) == QUIET
        assert (await outbox.stats())["streams"] == {"flood/beat": 200}


async def test_events_in_memory_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healthd.outbox.live.MOST_EVENTS", 20)
    async with bench.outbox() as outbox:
        for _ in range(50):
            outbox.put(bench.run.event(LinkEvent(peripheral="strap", change="up")))
        stats = await outbox.stats()
        assert (stats["in_memory"], stats["evicted"]) == (21, 29)


async def test_a_loss_whose_event_is_lost_in_a_kill_is_named_by_the_next_run(bench: Bench) -> None:
    """Samples are certain up to the first one that is lost, as long as no event says so."""
    async with bench.outbox() as outbox, Service(outbox) as service:
        for _ in range(9):
            outbox.put(bench.sample())
        taken = await next_live(outbox, 9)
        for pending in taken:
            outbox.live.acknowledge(pending)
        await service.rounds()
        assert outbox.live.ends()["strap", "beat"].seq == 9
        gap = Gap(
            peripheral="strap",
            stream="beat",
            reason="evicted",
            first="2026-11-24T02:03:31.000000Z",
            last="2026-11-24T02:03:31.000000Z",
            run=bench.run.id,
            first_seq=4,
            last_seq=6,
            count=3,
        )
        outbox.put(bench.run.event(gap))
        assert outbox.live.ends()["strap", "beat"].seq == 3
        (event,) = await next_live(outbox, 1)
        outbox.live.acknowledge(event)
        assert outbox.live.ends()["strap", "beat"].seq == 9
        outbox.live.losses.add_sample(taken[7].sample)
        assert outbox.live.ends()["strap", "beat"].seq == 7
