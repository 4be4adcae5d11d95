"""What a scale, a cuff and a thermometer need before they send a result, and how they send it."""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from healthd.gateway.surroundings import Surroundings
from healthd.host.clock import Clock
from healthd.simulator.feed import resting
from healthd.simulator.health.clock import BEFORE_IT_IS_SET, DeviceClock
from healthd.simulator.health.cuff import blood_pressure
from healthd.simulator.health.scale import CONSENT_FILE, user_scale, weight_scale
from healthd.simulator.health.thermometer import health_thermometer
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from tests.end_to_end.simulated_gateway import add, address, gateway, live, runs, until_runs
from tests.support.subscriber import Subscriber

# Far from where tests run, so that no other local time can be confused with it.
ZONE = {"TZ": "Pacific/Auckland"}
PERIOD_S = 0.1
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits that no test is about."""
    monkeypatch.setattr("healthd.sessions.collect.QUIET_S", 1.0)


def episodic(parts: Sequence[Part], packets: int) -> VirtualPeripheral:
    """Make a device that appears when it is used, and disconnects after its results."""
    own, *others = parts
    return VirtualPeripheral("Device", address(1), [resting(own, packets), *others])


def entry(**more: object) -> Mapping[str, Any]:
    keys = {"id": "one", "address": address(1), "on": "advertising", "window": "4s", "rearm": "1s"}
    return keys | more


def here() -> datetime:
    return datetime.now(ZoneInfo(ZONE["TZ"])).replace(tzinfo=None)


def is_about(text: str, moment: datetime) -> bool:
    return abs(datetime.fromisoformat(text) - moment) < timedelta(minutes=1)


def refusals(logs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    lines = [one for one in logs if one["event"] == "profile setup failed"]
    return [(one["profile"], one["reason"], one["error"]) for one in lines]


async def test_a_scale_gets_the_time_and_the_consent_code_each_time_it_is_used(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    clock = DeviceClock(BEFORE_IT_IS_SET)
    scale = episodic(user_scale(random.Random(1), PERIOD_S, clock), packets=1)
    entries = [entry(user=1, consent_file=CONSENT_FILE)]
    with capture_logs() as logs:
        async with gateway(subscriber, settings, entries, ZONE) as air:
            await add(air, scale)
            await until_runs(subscriber, one=1)
            assert is_about(clock.now().isoformat(), here())
            await scale.unlinked.wait()
            await scale.appear()
            await until_runs(subscriber, one=2)
    events = runs(subscriber.messages, "one")
    assert [(run["outcome"], run["samples"]) for run in events] == [("new_data", 1)] * 2
    weights = live(subscriber, "one", "weight")
    assert len(weights) == 2
    assert all(is_about(one["device_time"], here()) for one in weights)
    assert {one["user_id"] for one in weights} == {1}
    assert refusals(logs) == []
    assert not [one.topic for one in subscriber.messages if b"consent" in one.payload]


async def test_a_wrong_consent_code_is_logged_and_yields_no_data(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    code = tmp_path / "consent"
    code.write_text("1234")
    scale = episodic(user_scale(random.Random(1), PERIOD_S), packets=1)
    with capture_logs() as logs:
        async with gateway(subscriber, settings, [entry(user=1, consent_file=code)]) as air:
            await add(air, scale)
            await until_runs(subscriber, one=1)
    run = runs(subscriber.messages, "one")[0]
    assert (run["outcome"], run["samples"]) == ("no_data", 0)
    assert not live(subscriber, "one", "weight")
    (profile, reason, error), *_ = refusals(logs)
    assert (profile, reason) == ("user_data", "refused")
    assert "user_not_authorized" in error
    assert "1234" not in str(logs)


async def test_without_a_user_in_the_settings_no_consent_is_sent(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    scale = episodic(user_scale(random.Random(1), PERIOD_S), packets=1)
    with capture_logs() as logs:
        async with gateway(subscriber, settings, [entry()]) as air:
            await add(air, scale)
            await until_runs(subscriber, one=1)
    assert runs(subscriber.messages, "one")[0]["outcome"] == "no_data"
    assert refusals(logs) == []


@pytest.mark.parametrize("why", ["by the settings", "our clock is unsynced"])
async def test_the_clock_of_a_device_is_left_alone(
    subscriber: Subscriber,
    settings: dict[str, Any],
    why: str,
    tmp_path: Path,
) -> None:
    is_unsynced = why == "our clock is unsynced"
    timesync = tmp_path / "timesync"
    if is_unsynced:
        timesync.mkdir()  # timesyncd is running and has not synchronised yet
    ours = Surroundings(clock=Clock(timesync))
    clock = DeviceClock(BEFORE_IT_IS_SET)
    scale = episodic(weight_scale(random.Random(1), PERIOD_S, clock), packets=1)
    entries = [entry(set_clock=is_unsynced)]
    async with gateway(subscriber, settings, entries, surroundings=ours) as air:
        await add(air, scale)
        await until_runs(subscriber, one=1)
    (weight,) = live(subscriber, "one", "weight")
    assert is_about(weight["device_time"], BEFORE_IT_IS_SET)
    assert weight["clock"] == ("unsynced" if is_unsynced else "synced")
    assert not clock.is_set.is_set()


async def test_a_cuff_sends_stored_results_with_its_own_time(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    clock = DeviceClock(here() - DAY / 24)
    # Three stored results, and one that was just measured.
    cuff = episodic(blood_pressure(random.Random(1), PERIOD_S, clock, keeps=False), packets=4)
    shown = clock.now()
    with capture_logs() as logs:
        async with gateway(subscriber, settings, [entry()], ZONE) as air:
            await add(air, cuff)
            await until_runs(subscriber, one=1)
            await cuff.unlinked.wait()
            await cuff.appear()
            await until_runs(subscriber, one=2)
    assert [run["outcome"] for run in runs(subscriber.messages, "one")] == ["new_data"] * 2
    stored = live(subscriber, "one", "blood_pressure/history")
    assert len(stored) == 3
    results = [*stored, *live(subscriber, "one", "blood_pressure")]
    times = [one["device_time"] for one in results]
    # By the clock as it was when they were measured, once each and in order.
    for days, time in zip((3, 2, 1), times, strict=False):
        assert is_about(time, shown - days * DAY)
    assert len(results) == 8
    # From then on by the clock that healthd has set.
    assert all(is_about(one, here()) for one in times[-4:])
    assert refusals(logs) == []


async def test_a_thermometer_with_a_read_only_clock_sends_its_result(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    thermometer = episodic(health_thermometer(random.Random(1), 0.5), packets=1)
    with capture_logs() as logs:
        async with gateway(subscriber, settings, [entry()], ZONE) as air:
            await add(air, thermometer)
            await until_runs(subscriber, one=1)
    (run,) = runs(subscriber.messages, "one")
    assert run["outcome"] == "new_data"
    (result,) = live(subscriber, "one", "body_temperature")
    assert 36 < result["temperature_c"] < 38
    # The thermometer was made with the time of this machine.
    assert is_about(result["device_time"], datetime.now())  # noqa: DTZ005 - device times have no zone
    assert live(subscriber, "one", "intermediate_temperature")
    assert refusals(logs) == []
