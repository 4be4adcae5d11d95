"""A scale, a cuff and a thermometer that are fetched: device -> daemon -> broker, run by run."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from healthd.central.link import Backends
from healthd.daemon import Daemon
from healthd.profiles import registry
from healthd.settings import Settings
from healthd.simulator.air import Air
from healthd.simulator.broker import EmbeddedBroker
from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.peripheral import VirtualPeripheral
from tests.contract.subscriber import Received, Subscriber

BOUND_S = 30.0
FETCH = "healthd/gateway/event/fetch"
# So seldom that a device gives one result, or what it has stored, on each of its links.
SELDOM_S = 8.0

_REGISTRY = registry.load()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second is waited for that no test is about."""
    monkeypatch.setattr("healthd.central.collect.QUIET_S", 1.0)
    monkeypatch.setattr("healthd.central.periodic.JITTER_S", 0.2)
    monkeypatch.setattr("healthd.mqtt.health.PERIOD_S", 1.0)


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
async def subscriber(broker: EmbeddedBroker) -> AsyncIterator[Subscriber]:
    async with Subscriber(broker.port) as subscriber:
        yield subscriber


@pytest.fixture
def settings(broker: EmbeddedBroker, tmp_path: Path) -> dict[str, Any]:
    return {
        "gateway": {"id": "gateway"},
        "mqtt": {"brokers": [f"127.0.0.1:{broker.port}"]},
        "outbox": {"directory": tmp_path, "max_size": "4MB"},
    }


def device(model: str, number: int, period: float = SELDOM_S) -> VirtualPeripheral:
    return CATALOGUE[model].make(address(number), random.Random(number), period=period)


def address(number: int) -> str:
    return f"C0:5E:5E:00:00:{number:02X}"


@asynccontextmanager
async def gateway(
    subscriber: Subscriber, settings: dict[str, Any], entries: list[dict[str, str]]
) -> AsyncGenerator[Air]:
    """The daemon with these peripherals; on leaving it is stopped and all has been delivered."""
    stop = asyncio.Event()
    async with Air() as air, asyncio.TaskGroup() as tasks:
        backends = Backends(air.scanner_backend, air.client_backend)
        whole = Settings.model_validate({**settings, "peripherals": entries})
        tasks.create_task(Daemon(whole, _REGISTRY, {"TZ": "UTC"}, backends).run(stop))
        try:
            yield air
        finally:
            before = len(subscriber.messages)
            stop.set()
    await subscriber.until_payload("healthd/gateway/status", b"offline", since=before)


async def add(air: Air, *devices: VirtualPeripheral) -> None:
    for one in devices:
        await air.add(one)
        await one.appear()


def runs(messages: Iterable[Received], peripheral: str) -> list[dict[str, Any]]:
    told = [one.json() for one in messages if one.topic == FETCH]
    return [one for one in told if one["peripheral"] == peripheral]


async def until_runs(subscriber: Subscriber, **numbers: int) -> None:
    await subscriber.until(
        lambda all_: all(len(runs(all_, who)) >= number for who, number in numbers.items()),
        BOUND_S,
    )


def live(subscriber: Subscriber, peripheral: str, kind: str) -> list[dict[str, Any]]:
    where = f"healthd/gateway/device/{peripheral}/{kind}"
    return [one.json() for one in subscriber.at(where)]


async def test_scale_cuff_and_thermometer(subscriber: Subscriber, settings: dict[str, Any]) -> None:
    entries = [
        {"id": "scale", "address": address(1), "on": "advertising", "window": "4s"},
        {"id": "cuff", "address": address(2), "every": "6s", "window": "3s"},
        {"id": "thermometer", "address": address(3), "every": "6s", "window": "5s"},
    ]
    async with gateway(subscriber, settings, entries) as air:
        await add(air, device("blood_pressure", 2), device("health_thermometer", 3, 1.0))
        await until_runs(subscriber, cuff=2, thermometer=2)
        assert not runs(subscriber.messages, "scale"), "nobody has stepped on it"
        scale = device("weight_scale", 1, 0.3)
        await add(air, scale)
        await until_runs(subscriber, scale=1)
        await asyncio.sleep(1.0)
        assert not scale.linked.is_set(), "it is not fetched twice"
        (run,) = runs(subscriber.messages, "scale")
        await subscriber.until(lambda all_: _next_due(all_, "scale", run["due"]), BOUND_S)
        info = _info(subscriber.messages, "scale")
    scales, cuffs = runs(subscriber.messages, "scale"), runs(subscriber.messages, "cuff")
    weights = live(subscriber, "scale", "weight")
    assert len(scales) == 1
    assert (scales[0]["outcome"], scales[0]["samples"]) == ("new_data", len(weights))
    assert weights
    # The stored ones at the first run, none of them again at the second one.
    assert cuffs[0]["outcome"] == "new_data"
    assert len(live(subscriber, "cuff", "blood_pressure")) >= 3
    every = [one for who in ("cuff", "thermometer") for one in runs(subscriber.messages, who)]
    assert {one["outcome"] for one in every} <= {"new_data", "no_data"}
    assert len({one["fetch_run"] for one in [*every, *scales]}) == len(every) + 1
    assert all(0 < one["duration_s"] < 6 for one in [*every, *scales])
    assert live(subscriber, "thermometer", "body_temperature")
    assert info["reason"] == "scheduled"
    assert info["fetch"]["outcome"] == "new_data"
    assert info["fetch"]["next_due"] > scales[0]["due"]
    assert info["profiles"], "what is known of the device stays known"
    assert not subscriber.at("healthd/gateway/event/gap")
    radio = [one.json()["radio"] for one in subscriber.at("healthd/gateway/health")][-1]
    assert radio["linked_s"].keys() == {"scale", "cuff", "thermometer"}
    assert radio["scan_s"] > 0


async def test_one_that_never_appears_and_one_that_dies_in_the_middle(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    entries = [
        {"id": "absent", "address": address(1), "every": "1h", "window": "3s"},
        {"id": "dying", "address": address(2), "every": "1h", "window": "3s"},
    ]
    async with gateway(subscriber, settings, entries) as air:
        dying = device("weight_scale", 2, 5.0)
        await add(air, dying)
        await dying.subscribed.wait()
        await dying.vanish()
        await until_runs(subscriber, absent=1, dying=1)
    (absent,), (died,) = (runs(subscriber.messages, who) for who in ("absent", "dying"))
    assert (absent["outcome"], absent["reason"]) == ("timeout", "not_seen")
    assert (died["outcome"], died["reason"], died["samples"]) == ("failed", "link_lost", 0)


async def test_a_restart_fetches_nothing_twice(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    entries = [{"id": "scale", "address": address(1), "every": "1h", "window": "4s"}]
    async with gateway(subscriber, settings, entries) as air:
        await add(air, device("weight_scale", 1, 0.5))
        await until_runs(subscriber, scale=1)
        (run,) = runs(subscriber.messages, "scale")
        due = await subscriber.until(lambda all_: _next_due(all_, "scale", run["due"]), BOUND_S)
    async with gateway(subscriber, settings, entries) as air:
        await add(air, device("weight_scale", 1, 0.5))
        before = len(subscriber.messages)
        await subscriber.until(
            lambda all_: "fetch" in _info(all_[before:], "scale"),
            BOUND_S,
        )
        await asyncio.sleep(1.0)
        again = _info(subscriber.messages, "scale")["fetch"]["next_due"]
    assert len(runs(subscriber.messages, "scale")) == 1
    # An hour after the first one, as before, and not an hour after the restart.
    assert abs((datetime.fromisoformat(again) - datetime.fromisoformat(due)).total_seconds()) < 1


def _next_due(messages: Iterable[Received], peripheral: str, behind: str) -> str | None:
    due = _info(messages, peripheral).get("fetch", {}).get("next_due", behind)
    later = datetime.fromisoformat(due) - datetime.fromisoformat(behind)
    # The same point is told anew with every look at the two clocks, and not to the microsecond.
    return due if later.total_seconds() > 1 else None


def _info(messages: Iterable[Received], peripheral: str) -> dict[str, Any]:
    """The newest that is known of a peripheral."""
    where = f"healthd/gateway/device/{peripheral}/info"
    told = [one.json() for one in messages if one.topic == where]
    return told[-1] if told else {}
