"""Cuffs with a memory behind a key: every record is delivered once, whatever is interrupted."""

import asyncio
import random
import struct
from collections import Counter
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any

import pytest

from healthd.settings.keys import Keys
from healthd.simulator.attributes import indicating, service
from healthd.simulator.numbers import date_time
from healthd.simulator.part import Part, Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import device_information_part
from healthd.simulator.vendor.omron import KEY, Transfers, reading
from healthd.simulator.vendor.omron_memory import Cuff, Memory, Reading
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

KIND = "blood_pressure"
BEGIN = datetime(2026, 11, 1, 7, 0)  # noqa: DTZ001 - a cuff knows no zone

Result = tuple[int, str, float, float, float]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits that no test is about."""
    monkeypatch.setattr("healthd.sessions.collect.SETTLED_S", 0.3)
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.2)


def _never(_number: int) -> bool:
    return False


class Household:
    """A cuff of two users, and everything that they have measured."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.memory = Memory(model)
        self.measured: list[tuple[int, Reading]] = []
        self._rng = random.Random(11)

    def measure(self, times: int) -> None:
        """Let each user measure so often."""
        for _ in range(times):
            for user in range(1, len(self.memory.map.users) + 1):
                at = BEGIN + timedelta(minutes=7 * len(self.measured))
                made = reading(self._rng, at)
                self.memory.store(user, made)
                self.measured.append((user, made))

    @property
    def results(self) -> list[Result]:
        return sorted(
            (user, made.at.isoformat(), made.systolic, made.diastolic, made.pulse)
            for user, made in self.measured
        )

    def device(
        self, sent: list[Sent] | None = None, *, also: tuple[Part, ...] = (), **more: Any
    ) -> VirtualPeripheral:
        key = None if self.memory.map.is_modern else KEY
        cuff = Cuff(self.memory, key=key, damage=more.pop("damage", _never))
        own = Transfers(cuff, **more).part()
        parts = [own, device_information_part({0x2A24: self.model}), *also]
        record = None if sent is None else sent.append
        return VirtualPeripheral("BLEsmart_0000SIM", address(1), parts, record=record)


def standard_service(user: int, made: Reading) -> Part:
    """Return the Blood Pressure service of a cuff that has just measured this."""
    result = indicating(0x2A35)
    # Time, pulse and user; no mean pressure.
    packet = b"".join(
        (
            bytes([0x0E]),
            struct.pack("<HHH", made.systolic, made.diastolic, 0x07FF),
            date_time(made.at),
            struct.pack("<HB", made.pulse, user),
        )
    )

    async def results() -> AsyncGenerator[bytes, None]:
        yield packet

    return Part(service(0x1810, [result]), {result: results}, advertised=True)


def entry(**more: str) -> dict[str, str]:
    return {"id": "cuff", "address": address(1), "every": "1h", "window": "30s", **more}


def delivered(subscriber: Subscriber) -> list[Result]:
    """Return the distinct samples of a stream, in order."""
    samples = [*live(subscriber, "cuff", f"{KIND}/history"), *live(subscriber, "cuff", KIND)]
    return sorted(
        (
            one["user_id"],
            one["device_time"],
            one["systolic_mmhg"],
            one["diastolic_mmhg"],
            one["pulse_rate_bpm"],
        )
        for one in {one["id"]: one for one in samples}.values()
    )


async def until_delivered(subscriber: Subscriber, household: Household) -> None:
    await subscriber.until(lambda _: len(delivered(subscriber)) >= len(household.results), BOUND_S)


async def until_dead(cuff: VirtualPeripheral, links: int) -> None:
    """Wait until this link, counted from 1, has ended."""
    async with asyncio.timeout(BOUND_S):
        while cuff.links < links:
            await cuff.linked.wait()
        await cuff.unlinked.wait()


@pytest.fixture
def model() -> str:
    return "HEM-7361T"


@pytest.fixture
def household(model: str, settings: dict[str, Any]) -> Household:
    """Return a household with a cuff that healthd has the key of."""
    keys = Keys(settings["outbox"]["directory"])
    keys.make_folder()
    keys.store("cuff", KEY)
    return Household(model)


async def test_only_new_records_are_fetched_and_the_newest_is_live(
    subscriber: Subscriber, settings: dict[str, Any], household: Household
) -> None:
    household.measure(20)
    first = len(household.measured)
    sent: list[Sent] = []
    async with gateway(subscriber, settings, [entry(every="4s", window="3s")]) as air:
        await add(air, household.device(sent))
        await until_runs(subscriber, cuff=2)
        await until_delivered(subscriber, household)
        household.measure(1)
        await until_runs(subscriber, cuff=3)
        await until_delivered(subscriber, household)
    async with gateway(subscriber, settings, [entry(every="4s", window="3s")]) as air:
        household.measure(1)
        await add(air, household.device(sent))
        await until_runs(subscriber, cuff=4)
        await until_delivered(subscriber, household)
    assert delivered(subscriber) == household.results
    outcomes = [one["outcome"] for one in runs(subscriber.messages, "cuff")]
    assert outcomes[:2] == ["new_data", "no_data"]
    assert sorted(outcomes) == ["new_data"] * 3 + ["no_data"] * (len(outcomes) - 3)
    # Of what is new after each link, the newest is live.
    newest = [household.measured[at][1].at.isoformat() for at in (first - 1, first + 1, first + 3)]
    assert [one["device_time"] for one in live(subscriber, "cuff", KIND)] == newest
    for one in live(subscriber, "cuff", KIND):
        assert "mean_arterial_pressure_mmhg" in one


@pytest.mark.parametrize("model", ["HEM-7361T", "HEM-7322T", "HEM-7380T1"])
async def test_200_records_over_three_broken_links_are_fetched_once(
    subscriber: Subscriber, settings: dict[str, Any], household: Household
) -> None:
    household.measure(100)
    assert len(household.measured) == 200
    async with gateway(subscriber, settings, [entry()]) as air:
        # Twice in the middle of a transfer, and once after the first answer of a link.
        cuff = household.device(dies_after=(20, 21, 45))
        await add(air, cuff)
        for link in (1, 2, 3):
            await until_dead(cuff, link)
            await cuff.appear()
        await until_runs(subscriber, cuff=1)
        await until_delivered(subscriber, household)
        assert cuff.links == 4
    assert delivered(subscriber) == household.results
    [run] = runs(subscriber.messages, "cuff")
    assert (run["outcome"], run["samples"]) == ("new_data", 200)


async def test_restarts_and_new_measurements_between_broken_links_lose_and_repeat_nothing(
    subscriber: Subscriber, settings: dict[str, Any], household: Household
) -> None:
    household.measure(90)
    for _ in range(3):
        async with gateway(subscriber, settings, [entry()]) as air:
            cuff = household.device(dies_after=(35,))
            await add(air, cuff)
            await until_dead(cuff, 1)
        household.measure(3)
    async with gateway(subscriber, settings, [entry()]) as air:
        await add(air, household.device())
        await until_runs(subscriber, cuff=1)
        await until_delivered(subscriber, household)
    assert Counter(delivered(subscriber)) == Counter(household.results)
    # Nor does another run repeat any.
    async with gateway(subscriber, settings, [entry(every="4s", window="3s")]) as air:
        await add(air, household.device())
        await until_runs(subscriber, cuff=2)
    assert Counter(delivered(subscriber)) == Counter(household.results)


async def test_wrong_checksums_are_asked_for_again(
    subscriber: Subscriber,
    settings: dict[str, Any],
    household: Household,
) -> None:
    household.measure(10)
    damaged: list[int] = []

    def every_fifth(number: int) -> bool:
        if number % 5 == 3:
            damaged.append(number)
        return number % 5 == 3

    async with gateway(subscriber, settings, [entry()]) as air:
        await add(air, household.device(damage=every_fifth))
        await until_runs(subscriber, cuff=1)
        await until_delivered(subscriber, household)
    assert len(damaged) > 3
    assert delivered(subscriber) == household.results


@pytest.mark.parametrize("model", ["HEM-7361T", "HEM-7380T1"])
async def test_a_result_that_also_comes_from_the_standard_service_is_one_sample(
    subscriber: Subscriber, settings: dict[str, Any], household: Household
) -> None:
    household.measure(4)
    async with gateway(subscriber, settings, [entry(every="4s", window="3s")]) as air:
        also = standard_service(*household.measured[-1])
        await add(air, household.device(also=(also,)))
        await until_runs(subscriber, cuff=2)
        await until_delivered(subscriber, household)
    assert delivered(subscriber) == household.results


async def test_a_cuff_without_a_key_is_read_through_its_standard_service(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    household = Household("HEM-7361T")
    household.measure(3)
    user, made = household.measured[-1]
    async with gateway(subscriber, settings, [entry()]) as air:
        await add(air, household.device(also=(standard_service(user, made),)))
        await until_runs(subscriber, cuff=1)
        await subscriber.until(lambda _: bool(delivered(subscriber)), BOUND_S)
    assert [result[1] for result in delivered(subscriber)] == [made.at.isoformat()]


async def test_a_cuff_without_a_key_is_left_alone(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    household = Household("HEM-7361T")
    household.measure(3)
    async with gateway(subscriber, settings, [entry(every="4s", window="3s")]) as air:
        await add(air, household.device())
        await until_runs(subscriber, cuff=1)
    assert delivered(subscriber) == []
