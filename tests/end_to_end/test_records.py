"""Meters with a memory: every record is delivered once, whatever is interrupted in between."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.health import cgm, glucose
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import Battery, battery_part
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

GAP = "healthd/gateway/event/gap"
STORED = 40


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits that no test is about."""
    monkeypatch.setattr("healthd.sessions.collect.SETTLED_S", 0.3)
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.2)


@pytest.fixture
def memory() -> glucose.Memory:
    return glucose.Memory(random.Random(7), stored=STORED)


def device(part: Part, record: Callable[[object], None] | None = None) -> VirtualPeripheral:
    return VirtualPeripheral("Meter", address(1), [part, battery_part(Battery(80))], record=record)


def entry(**more: str) -> dict[str, str]:
    return {"id": "meter", "address": address(1), **more}


def numbers(memory: glucose.Memory) -> list[int]:
    return [record.key for record in memory.records]


def history(subscriber: Subscriber, kind: str) -> list[dict[str, Any]]:
    return live(subscriber, "meter", f"{kind}/history")


def delivered(subscriber: Subscriber, kind: str, key: str = "sequence_number") -> list[int]:
    """Return the numbers of the distinct samples of a stream, ascending."""
    samples = [*history(subscriber, kind), *live(subscriber, "meter", kind)]
    return sorted(one[key] for one in {one["id"]: one for one in samples}.values())


async def until_delivered(subscriber: Subscriber, memory: glucose.Memory) -> None:
    await subscriber.until(
        lambda _: len(delivered(subscriber, "glucose")) >= len(memory.records), BOUND_S
    )


async def test_only_new_records_are_fetched_and_the_newest_is_live(
    subscriber: Subscriber, settings: dict[str, Any], memory: glucose.Memory
) -> None:
    first = numbers(memory)
    async with gateway(subscriber, settings, [entry(every="4s", window="3s")]) as air:
        await add(air, device(glucose.meter_part(memory)))
        await until_runs(subscriber, meter=2)
        [newest] = live(subscriber, "meter", "glucose")
        assert newest["sequence_number"] == first[-1]
        memory.measure()
        memory.measure()
        await until_runs(subscriber, meter=4)
    async with gateway(subscriber, settings, [entry(every="4s", window="3s")]) as air:
        memory.measure()
        await add(air, device(glucose.meter_part(memory)))
        await until_runs(subscriber, meter=6)
        await until_delivered(subscriber, memory)
    outcomes = [one["outcome"] for one in runs(subscriber.messages, "meter")]
    assert outcomes[:2] == ["new_data", "no_data"]
    assert sorted(outcomes) == ["new_data"] * 3 + ["no_data"] * (len(outcomes) - 3)
    assert delivered(subscriber, "glucose") == numbers(memory)
    with_context = [number for number in numbers(memory) if number % 2 == 0]
    assert delivered(subscriber, "glucose_context") == with_context
    # Oldest first, with the meter's own time, and without the live sample.
    stored = history(subscriber, "glucose")
    newest = {one["id"]: one["sequence_number"] for one in live(subscriber, "meter", "glucose")}
    assert [one["sequence_number"] for one in stored] == [
        number for number in numbers(memory) if number not in newest.values()
    ]
    assert [one["device_time"] for one in stored] == sorted(one["device_time"] for one in stored)
    assert not subscriber.at(GAP)


async def test_links_lost_during_a_transfer_lose_and_repeat_no_record(
    subscriber: Subscriber, settings: dict[str, Any], memory: glucose.Memory
) -> None:
    sent = asyncio.Event()
    count = 0

    def note(_: object) -> None:
        nonlocal count
        count += 1
        if count in (10, 25, 45, 50):
            sent.set()

    async with gateway(subscriber, settings, [entry(every="1h", window="30s")]) as air:
        meter = device(glucose.meter_part(memory), note)
        await add(air, meter)
        for _ in range(4):
            async with asyncio.timeout(BOUND_S):
                await sent.wait()
            sent.clear()
            await meter.drop()
        await until_runs(subscriber, meter=1)
        await until_delivered(subscriber, memory)
    [run] = runs(subscriber.messages, "meter")
    assert run["outcome"] == "new_data"
    assert delivered(subscriber, "glucose") == numbers(memory)
    assert run["samples"] == STORED + STORED // 2


async def test_a_stop_during_a_transfer_aborts_it_and_the_next_run_continues(
    subscriber: Subscriber,
    settings: dict[str, Any],
    memory: glucose.Memory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The first stored records show that the transfer runs: they are delivered during it.
    monkeypatch.setattr("healthd.outbox.backlog.START_PAUSE_S", 0.0)
    meter = device(glucose.meter_part(memory))
    async with gateway(subscriber, settings, [entry(every="1h")]) as air:
        await add(air, meter)
        await subscriber.until(lambda _: len(history(subscriber, "glucose")) > 3, BOUND_S)
    assert len(delivered(subscriber, "glucose")) < STORED, "the transfer was over before the stop"
    async with gateway(subscriber, settings, [entry(every="1h")]) as air:
        await add(air, device(glucose.meter_part(memory)))
        await until_runs(subscriber, meter=1)
        await until_delivered(subscriber, memory)
    assert delivered(subscriber, "glucose") == numbers(memory)


async def test_readings_stored_without_a_link_fill_the_gap(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    sensor = cgm.Sensor(random.Random(3))
    stored = len(sensor.records)
    async with gateway(subscriber, settings, [entry()]) as air:
        monitor = device(cgm.sensor_part(sensor, 0.5))
        await add(air, monitor)
        await subscriber.until(lambda _: len(live(subscriber, "meter", "cgm")) >= 3, BOUND_S)
        assert len(history(subscriber, "cgm")) == stored - 1
        await monitor.vanish()
        for _ in range(5):
            sensor.read()
        before = len(subscriber.messages)
        await monitor.appear()
        await subscriber.until(lambda all_: any(one.topic == GAP for one in all_[before:]), BOUND_S)
        [gap] = [one.json() for one in subscriber.at(GAP)]
        await subscriber.until(
            lambda _: len(history(subscriber, "cgm")) >= stored - 1 + gap["filled"], BOUND_S
        )
    assert (gap["stream"], gap["reason"]) == ("cgm", "link_lost")
    assert gap["filled"] >= 4
    offsets = [record.key * 60 for record in sensor.records]
    got = delivered(subscriber, "cgm", "time_offset_s")
    assert got == offsets[: len(got)]
    assert len(got) >= stored - 1 + 3 + 5


async def test_stored_results_of_an_oximeter_are_delivered_once(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    async with gateway(subscriber, settings, [entry(every="4s", window="3s")]) as air:
        await add(air, CATALOGUE["pulse_oximeter"].make(address(1), random.Random(5), period=1.0))
        await until_runs(subscriber, meter=2)
    kind = "pulse_oximeter_spot_check"
    from_memory = [
        one["device_time"]
        for one in [*history(subscriber, kind), *live(subscriber, "meter", kind)]
        if "from_storage" in one["measurement_status"]
    ]
    assert len(from_memory) == len(set(from_memory)) == 4
