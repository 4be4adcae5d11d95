"""Runs of a scale, a cuff and a thermometer: device -> daemon -> broker."""

import asyncio
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.simulated_gateway import (
    BOUND_S,
    add,
    address,
    device,
    gateway,
    info,
    live,
    runs,
    toml,
    until_runs,
)
from tests.support.conformity import conform
from tests.support.process import call
from tests.support.subscriber import Received, Subscriber


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits that no test is about."""
    monkeypatch.setattr("healthd.sessions.collect.QUIET_S", 1.0)
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.2)
    monkeypatch.setattr("healthd.mqtt.health.HEALTH_PERIOD_S", 1.0)


async def test_scale_cuff_and_thermometer(subscriber: Subscriber, settings: dict[str, Any]) -> None:
    entries = [
        {"id": "scale", "address": address(1), "on": "advertising", "window": "4s"},
        {"id": "cuff", "address": address(2), "every": "6s", "window": "3s"},
        {"id": "thermometer", "address": address(3), "every": "6s", "window": "5s"},
    ]
    async with gateway(subscriber, settings, entries) as air:
        await add(air, device("blood_pressure", 2), device("health_thermometer", 3, 1.0))
        await until_runs(subscriber, cuff=2, thermometer=2)
        assert not runs(subscriber.messages, "scale"), "it has not been used"
        scale = device("weight_scale", 1, 2.0)
        await add(air, scale)
        await until_runs(subscriber, scale=1)
        await asyncio.sleep(1.0)
        assert not scale.linked.is_set(), "it is not fetched twice"
        (run,) = runs(subscriber.messages, "scale")
        await subscriber.until(lambda all_: _next_due(all_, "scale", run["due"]), BOUND_S)
        of_scale = info(subscriber.messages, "scale")
    assert conform(subscriber.messages) >= {"event_fetch", "weight", "blood_pressure", "health"}
    scales, cuffs = runs(subscriber.messages, "scale"), runs(subscriber.messages, "cuff")
    weights = live(subscriber, "scale", "weight")
    assert len(scales) == 1
    assert (scales[0]["outcome"], scales[0]["samples"]) == ("new_data", len(weights))
    assert weights
    # The first run fetches the stored results, the second run does not repeat them.
    assert cuffs[0]["outcome"] == "new_data"
    assert len(live(subscriber, "cuff", "blood_pressure/history")) >= 2
    assert live(subscriber, "cuff", "blood_pressure")
    every = [one for name in ("cuff", "thermometer") for one in runs(subscriber.messages, name)]
    assert {one["outcome"] for one in every} <= {"new_data", "no_data"}
    assert len({one["fetch_run"] for one in [*every, *scales]}) == len(every) + 1
    assert all(0 < one["duration_s"] < 6 for one in [*every, *scales])
    assert live(subscriber, "thermometer", "body_temperature")
    assert of_scale["reason"] == "scheduled"
    assert of_scale["fetch"]["outcome"] == "new_data"
    assert of_scale["fetch"]["next_due"] > scales[0]["due"]
    assert of_scale["profiles"], "facts about the device are kept after the run"
    assert not subscriber.at("healthd/gateway/event/gap")
    radio = [one.json()["radio"] for one in subscriber.at("healthd/gateway/health")][-1]
    assert radio["linked_s"].keys() == {"scale", "cuff", "thermometer"}
    assert radio["scan_s"] > 0


async def test_a_peripheral_that_never_appears_and_one_that_vanishes_during_a_run(
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
    (absent,), (died,) = (runs(subscriber.messages, name) for name in ("absent", "dying"))
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
            lambda all_: "fetch" in info(all_[before:], "scale"),
            BOUND_S,
        )
        await asyncio.sleep(1.0)
        again = info(subscriber.messages, "scale")["fetch"]["next_due"]
    assert len(runs(subscriber.messages, "scale")) == 1
    # An hour after the first run, as before, and not an hour after the restart.
    assert abs((datetime.fromisoformat(again) - datetime.fromisoformat(due)).total_seconds()) < 1


async def test_the_fetch_command_runs_a_peripheral_now(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    entries = [
        {"id": "scale", "address": address(1), "every": "1h", "window": "4s"},
        {"id": "cuff", "address": address(2), "on": "advertising", "window": "1s"},
    ]
    file, runtime = tmp_path / "healthd.toml", {"XDG_RUNTIME_DIR": str(tmp_path)}
    file.write_text(toml(settings, entries))

    async def fetch(*arguments: str) -> tuple[int | None, str, str]:
        return await call("fetch", "--config", str(file), *arguments, environ=runtime)

    async with gateway(subscriber, settings, entries, runtime) as air:
        await add(air, device("weight_scale", 1, 0.3))
        await until_runs(subscriber, scale=1)
        code, line, _ = await fetch("scale", "--json")
        await until_runs(subscriber, scale=2)
        event = runs(subscriber.messages, "scale")[1]
        assert code == 0
        assert event.items() >= json.loads(line).items()
        assert event.keys() - json.loads(line).keys() == {"id", "time", "clock", "seq"}
        code, line, _ = await fetch("cuff")
        assert code == 1
        assert line == "cuff: timeout (not_seen), 0 samples in 1.0 s\n"
    code, _, error = await fetch("scale")
    assert code == 1
    assert "healthd is not running for gateway gateway" in error


def _next_due(messages: Iterable[Received], peripheral: str, after: str) -> str | None:
    due = info(messages, peripheral).get("fetch", {}).get("next_due", after)
    later = datetime.fromisoformat(due) - datetime.fromisoformat(after)
    # The same point is computed again from both clocks each time, and differs by microseconds.
    return due if later.total_seconds() > 1 else None
