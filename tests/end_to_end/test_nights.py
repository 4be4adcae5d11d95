"""Rings that have stored nights: each record is delivered once, and live values flow."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest

from healthd.outbox.outbox import STORE_NAME
from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.vendor.o2ring import REAL_TIME, SENSORS, Ring, ring_part, stored_night
from tests.end_to_end.simulated_gateway import (
    BOUND_S,
    add,
    address,
    gateway,
    live,
    runs,
    until_runs,
)
from tests.support.subscriber import Subscriber

START = datetime(2026, 1, 31, 22, 33, 40)  # noqa: DTZ001 - the ring's clock has no zone
# Several hours, with a record every 2 s.
COUNT, STEP_S = 4000, 2
KIND = "pulse_oximeter"

pytestmark = pytest.mark.timeout(4 * BOUND_S)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits that no test is about."""
    monkeypatch.setattr("healthd.sessions.collect.SETTLED_S", 0.3)
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.2)
    monkeypatch.setattr("healthd.outbox.backlog.START_PAUSE_S", 0.0)


def one_night(count: int = COUNT) -> Ring:
    rng = random.Random(7)
    values = [(rng.randint(85, 99), rng.randint(45, 75), rng.randrange(50)) for _ in range(count)]
    return Ring(rng, {f"{START:%Y%m%d%H%M%S}": stored_night(START, values, STEP_S)})


def device(ring: Ring, record: Callable[[Sent], None] | None = None) -> VirtualPeripheral:
    return VirtualPeripheral("O2Ring", address(1), [ring_part(ring)], record=record)


def entry(**more: str) -> dict[str, str]:
    return {"id": "ring", "address": address(1), **more}


def times(subscriber: Subscriber) -> list[str]:
    """Return when the records of all distinct stored samples were made, in their order."""
    samples = {one["id"]: one for one in live(subscriber, "ring", f"{KIND}/history")}
    return [one["device_time"] for one in samples.values()]


def expected(count: int = COUNT) -> list[str]:
    return [(START + timedelta(seconds=STEP_S * number)).isoformat() for number in range(count)]


def now(subscriber: Subscriber) -> list[dict[str, Any]]:
    return live(subscriber, "ring", KIND)


def notes(settings: dict[str, Any]) -> list[tuple[str, int]]:
    """Return which records are noted on the disk."""
    with closing(sqlite3.connect(settings["outbox"]["directory"] / STORE_NAME)) as store:
        return store.execute("SELECT series, number FROM records").fetchall()


async def until_all(subscriber: Subscriber, count: int = COUNT) -> None:
    # Counted first, because reading thousands of samples for each that arrives takes too long.
    where = f"healthd/gateway/device/ring/{KIND}/history"
    await subscriber.until(
        lambda _: len(subscriber.at(where)) >= count and len(times(subscriber)) >= count, BOUND_S
    )


async def test_three_broken_links_neither_lose_nor_repeat_a_record(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    ring, reached, sent = one_night(), asyncio.Event(), 0

    def note(_: Sent) -> None:
        nonlocal sent
        sent += 1
        # A block has 27 pieces, and the night 40 blocks: in the middle of three of them.
        if sent in (300, 900, 1700):
            reached.set()

    async with gateway(subscriber, settings, [entry()]) as air:
        worn = device(ring, note)
        await add(air, worn)
        for _ in range(3):
            async with asyncio.timeout(BOUND_S):
                await reached.wait()
            reached.clear()
            before = len(now(subscriber))
            await worn.drop()
            await subscriber.until(lambda _, n=before: len(now(subscriber)) > n, BOUND_S)
        await until_all(subscriber)
        before = len(now(subscriber))
        await subscriber.until(lambda _: len(now(subscriber)) >= before + 2, BOUND_S)
    assert worn.links == 4
    # The note of the newest record, and some that are deleted with the next ones.
    assert len(notes(settings)) < 200
    assert times(subscriber) == expected()
    assert all("device_time" not in one for one in now(subscriber))
    assert {one["level_pct"] for one in live(subscriber, "ring", "battery")} == {80}


async def test_a_restart_in_the_middle_of_a_night_neither_loses_nor_repeats_a_record(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    ring, reached = one_night(), asyncio.Event()
    ring.unread_blocks = 20

    def note(_: Sent) -> None:
        if ring.unread_blocks == 0:
            reached.set()

    async with gateway(subscriber, settings, [entry()]) as air:
        await add(air, device(ring, note))
        async with asyncio.timeout(BOUND_S):
            await reached.wait()
    assert len(times(subscriber)) < COUNT
    ring.unread_blocks = None
    async with gateway(subscriber, settings, [entry()]) as air:
        await add(air, device(ring))
        await until_all(subscriber)
    assert sorted(times(subscriber)) == expected()


@pytest.mark.parametrize("known", [REAL_TIME, SENSORS])
async def test_periodic_runs_of_a_ring_fetch_a_night_once(
    subscriber: Subscriber, settings: dict[str, Any], known: int
) -> None:
    ring = one_night(200)
    ring.commands -= {REAL_TIME, SENSORS} - {known}
    async with gateway(subscriber, settings, [entry(every="8s", window="7s")]) as air:
        await add(air, device(ring))
        await until_runs(subscriber, ring=2)
        await until_all(subscriber, 200)
    assert times(subscriber) == expected(200)
    assert {one["outcome"] for one in runs(subscriber.messages, "ring")} == {"new_data"}
    assert len(now(subscriber)) >= 2


async def test_the_night_of_a_ring_that_is_taken_off_is_fetched_on_the_same_link(
    subscriber: Subscriber, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.profiles.vendor.o2ring.dialogue._OFF_FOR", 1)
    ring, nights = one_night(1000), one_night(1000).nights
    ring.nights.clear()
    async with gateway(subscriber, settings, [entry()]) as air:
        worn = device(ring)
        await add(air, worn)
        # The second value comes after the opening, which found no night.
        await subscriber.until(lambda _: len(now(subscriber)) >= 3, BOUND_S)
        ring.nights.update(nights)
        ring.worn = False
        await until_all(subscriber, 1000)
    assert worn.links == 1
    assert times(subscriber) == expected(1000)
    assert now(subscriber)[-1]["device_status"] == ["not_on_user"]
