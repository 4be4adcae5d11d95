"""Other settings for a daemon that runs: what stays the same is not touched, nothing is lost."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from healthd.errors import Backoff
from healthd.simulator.broker import EmbeddedBroker
from healthd.verbs import Fetch, RequestRefused
from tests.end_to_end.fetching import info, runs, until_runs
from tests.end_to_end.reloading import (
    BOUND_S,
    GAP,
    Ward,
    entry,
    kept,
    of_healthd,
    streaming,
    topic,
)
from tests.support.conformity import conform
from tests.support.mosquitto import Mosquitto, needs_mosquitto, password_file
from tests.support.streams import streams
from tests.support.subscriber import Subscriber

THREE = (entry("one", 1), entry("two", 2), entry("three", 3))
ALL = ("one", "two", "three")
STATUS = "healthd/gateway/status"


async def test_one_of_three_changes_and_the_links_of_the_others_stay(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    ward = Ward(tmp_path, settings, *THREE)
    async with ward.running():
        await streaming(subscriber, *ALL)
        before = {number: ward.link(number) for number in (1, 2, 3)}
        told, logged = len(subscriber.messages), len(ward.log)
        ward.write(
            settings, entry("one", 1), entry("two", 2, heart_rate_zones=[60]), entry("three", 3)
        )
        messages = await ward.reload()
        assert {"RELOADING", "MONOTONIC_USEC"} <= messages[0].keys()
        await streaming(subscriber, *ALL)
        after = {number: ward.link(number) for number in (1, 2, 3)}
        meanwhile, lines = subscriber.messages[told:], ward.log[logged:]
    assert [after[number] == before[number] for number in (1, 2, 3)] == [True, False, True]
    assert after[2][0] == before[2][0] + 1
    assert conform(subscriber.messages) >= {"event_gap", "event_link"}
    for peripheral in ("one", "three"):
        (stream,) = streams(subscriber.messages, topic(peripheral, "heart_rate")).values()
        stream.check()
        assert {one.topic for one in meanwhile if f"/device/{peripheral}/" in one.topic} == {
            topic(peripheral, "heart_rate")
        }
    (stream,) = streams(subscriber.messages, topic("two", "heart_rate")).values()
    stream.check()
    (gap,) = (one.json() for one in subscriber.at(GAP))
    assert (gap["peripheral"], gap["stream"], gap["reason"]) == ("two", "heart_rate", "stopped")
    states = [one.json()["state"] for one in meanwhile if one.topic == topic("two", "info")]
    assert states[0] == "disabled"
    assert states[-1] == "streaming"
    assert "heart_rate_zone" in subscriber.at(topic("two", "heart_rate"))[-1].json()
    assert {line["peripheral"] for line in lines if "peripheral" in line} == {"two"}
    assert (
        ward.reloaded().items()
        >= {
            "added": [],
            "changed": ["two"],
            "removed": [],
            "unchanged": 2,
        }.items()
    )


async def test_one_comes_one_goes_and_a_vague_one_gives_up_what_is_not_its(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, broker: EmbeddedBroker
) -> None:
    one, two, three = THREE
    any_strap = {"id": "any", "service": "heart_rate"}
    ward = Ward(tmp_path, settings, one, two)
    async with ward.running():
        await streaming(subscriber, "one", "two")
        before = ward.link(1)
        ward.write(settings, one, two, any_strap)
        await ward.reload()
        # The first two are spoken for.
        await ward.straps[3].linked.wait()
        await streaming(subscriber, "any")
        assert topic("two", "battery") in await kept(broker.port)
        ward.write(settings, one, any_strap, three)
        told = len(subscriber.messages)
        await ward.reload()
        assert ward.reloaded().items() >= {"added": ["three"], "removed": ["two"]}.items()
        # Its own device for the one, and the device that is free now for the other.
        await subscriber.until_payload(topic("any", "status"), b"offline", since=told)
        await streaming(subscriber, "one", "any", "three")
        assert ward.link(1) == before
        assert ward.straps[2].linked.is_set()
        found = await kept(broker.port)
        (gateway,) = (one.json() for one in subscriber.at("healthd/gateway/info")[-1:])
    assert gateway["peripherals"] == ["one", "any", "three"]
    assert not [where for where in found if "/device/two/" in where]
    last = [one.payload for one in subscriber.at(topic("two", "status"))][-2:]
    assert last == [b"offline", b""]
    conform(of_healthd(subscriber))
    (gap,) = (one.json() for one in subscriber.at(GAP))
    assert (gap["peripheral"], gap["reason"]) == ("any", "reassigned")
    for peripheral in (*ALL, "any"):
        (stream,) = streams(subscriber.messages, topic(peripheral, "heart_rate")).values()
        stream.check()


async def test_bad_settings_are_told_and_change_nothing(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    ward = Ward(tmp_path, settings, *THREE)
    async with ward.running():
        await streaming(subscriber, *ALL)
        before = [ward.link(number) for number in (1, 2, 3)]
        ward.write(settings, entry("one", 1, every="often"))
        ward.spoil('[log]\nlevel = "loud"')
        await ward.reload()
        told = {line["key"]: line for line in ward.log if line["event"] == "bad setting"}
        assert told.keys() == {"log.level", "peripherals[0].every"}
        assert told["log.level"]["found"] == "'loud'"
        assert all({"file", "expected"} <= line.keys() for line in told.values())
        ward.write(settings, entry("one", 1, passkey_file=str(tmp_path / "absent")))
        await ward.reload()
        (line,) = (line for line in ward.log if line["event"] == "bad settings")
        assert line["error"].startswith("peripherals.one.passkey_file: ")
        assert [line["event"] for line in ward.log].count("not reloaded") == 2
        # What cannot be taken over in place is named, and the rest of the file counts.
        other = {**settings, "bluetooth": {"slots": 4}, "outbox": {"directory": "/nowhere"}}
        ward.write({**other, "gateway": {"id": "other"}}, *THREE)
        await ward.reload()
        kept_back = [line for line in ward.log if line["event"] == "needs a restart"]
        await streaming(subscriber, *ALL)
        assert [ward.link(number) for number in (1, 2, 3)] == before
    assert {line["key"] for line in kept_back} == {
        *("bluetooth.slots", "gateway.id", "outbox.directory", "outbox.max_size")
    }
    assert {line["hint"] for line in kept_back} == {"sudo systemctl restart healthd"}
    assert ward.reloaded()["unchanged"] == 3
    assert not subscriber.at(GAP)


async def test_what_is_asked_for_while_it_reloads_is_done_behind_that(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    one, two, three = THREE
    ward = Ward(tmp_path, settings, *THREE)
    async with ward.running():
        await streaming(subscriber, *ALL)
        ward.write(settings, one, entry("two", 2, silence="20s"), three)
        ward.ask()
        ward.ask()
        # Two hangs up now; a second change meanwhile, and a third one at once behind it.
        await subscriber.until_payload(topic("two", "status"), b"offline", at_most=BOUND_S)
        ward.write(settings, one, two)
        await ward.reload()
        await ward.reload()
        await streaming(subscriber, "one", "two")
        assert not ward.straps[3].linked.is_set()
        # And once more, just before it is stopped.
        ward.write(settings, *THREE)
        ward.ask()
    assert not [line for line in ward.log if line["event"] == "crashed"]
    assert subscriber.at(STATUS)[-1].payload == b"offline"


async def test_one_that_was_taken_out_while_healthd_was_down_leaves_nothing_behind(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, broker: EmbeddedBroker
) -> None:
    ward = Ward(tmp_path, settings, *THREE)
    async with ward.running():
        await streaming(subscriber, *ALL)
    ghosts = {topic("two", last) for last in ("status", "info", "battery")}
    assert ghosts <= (await kept(broker.port)).keys()
    ward.write(settings, THREE[0], THREE[2])
    since = len(subscriber.messages)
    async with ward.running():
        for ghost in ghosts:
            await subscriber.until_payload(ghost, b"", since=since)
        await streaming(subscriber, "one", "three")
    found = await kept(broker.port)
    assert not ghosts & found.keys()
    assert topic("one", "battery") in found
    # Once is enough.
    since = len(subscriber.messages)
    async with ward.running():
        await streaming(subscriber, "one", "three")
    assert not [one for one in subscriber.messages[since:] if one.topic in ghosts]


@needs_mosquitto
async def test_another_password_and_another_broker_leave_the_links_alone(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a person mends is not to be waited for: by itself it would be tried again much later.
    never = Backoff(first_s=1e6, ceiling_s=1e6)
    monkeypatch.setattr("healthd.mqtt.faults._REFUSED_RETRY", never)
    users, secret = password_file(tmp_path, {"healthd": "right"}), tmp_path / "secret"
    options = f"allow_anonymous false\npassword_file {users}"
    async with (
        Mosquitto(_made(tmp_path / "first"), options) as first,
        Mosquitto(_made(tmp_path / "second")) as second,
        Subscriber(first.port, username="healthd", password="right") as subscriber,
        Subscriber(second.port, name="other") as other,
    ):
        secret.write_text("wrong")
        mqtt = {"brokers": [first.address], "username": "healthd", "password_file": secret}
        ward = Ward(tmp_path, {**settings, "mqtt": mqtt}, *THREE)
        async with ward.running():
            for strap in ward.straps.values():
                await strap.subscribed.wait()
            before = [ward.link(number) for number in (1, 2, 3)]
            await first.logged("not authorised")
            # The settings are the same: what stands in the file that they name is not.
            secret.write_text("right")
            await ward.reload()
            await streaming(subscriber, *ALL)
            ward.write({**settings, "mqtt": {"brokers": [second.address]}}, *THREE)
            await ward.reload()
            await streaming(other, *ALL)
            await subscriber.until_payload(STATUS, b"offline")
            await other.until_payload(STATUS, b"online")
            assert [ward.link(number) for number in (1, 2, 3)] == before
            # What is the same is not done again.
            since = len(other.messages)
            await ward.reload()
            await streaming(other, *ALL)
            assert STATUS not in [one.topic for one in other.messages[since:]]
        await other.until_payload(STATUS, b"offline")
    assert ward.reloaded()["unchanged"] == 3
    everything = [*subscriber.messages, *other.messages]
    for peripheral in ALL:
        (stream,) = streams(everything, topic(peripheral, "heart_rate")).values()
        assert stream.is_whole
    assert not [one for one in everything if one.topic == GAP]


async def test_home_assistant_is_told_who_comes_and_goes(
    subscriber: Subscriber,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("healthd.mqtt.discovery.SETTLE_S", 0.2)

    def announced(peripheral: str) -> list[bytes]:
        told = subscriber.at(f"homeassistant/device/gateway_{peripheral}/config")
        return [one.payload for one in told]

    one, two, _ = THREE
    ward = Ward(tmp_path, settings, one, two)
    async with ward.running():
        await streaming(subscriber, "one", "two")
        before = ward.link(1)
        on = {**settings, "mqtt": {**settings["mqtt"], "discovery": "homeassistant"}}
        ward.write(on, one, two)
        await ward.reload()
        await subscriber.until(lambda _: announced("one") and announced("two"))
        ward.write(on, one)
        await ward.reload()
        await subscriber.until(lambda _: announced("two")[-1] == b"")
        assert announced("one")[-1] != b""
        ward.write(settings, one)
        await ward.reload()
        await subscriber.until(lambda _: announced("one")[-1] == b"")
        assert ward.link(1) == before
    assert not [line for line in ward.log if line["event"] == "needs a restart"]


async def test_a_fetch_of_one_whose_settings_change_is_refused_and_its_timetable_stays(
    subscriber: Subscriber,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.2)
    request = Fetch(peripheral="one")
    ward = Ward(tmp_path, settings, entry("one", 1, every="1h", window="30s"))
    async with ward.running():
        await streaming(subscriber, "one")
        asked = asyncio.ensure_future(ward.fetch(request))
        await asyncio.sleep(0)  # it joins the run that is under way
        ward.write(settings, entry("one", 1, every="1h", window="2s"))
        await ward.reload()
        with pytest.raises(RequestRefused, match="other settings"):
            await asked
        # What was broken off is due still.
        await until_runs(subscriber, one=1)
        ward.write(settings, entry("one", 1, every="1h", window="1s"))
        await ward.reload()
        told = await ward.fetch(request)
        assert told["outcome"] == "new_data"
        assert told["duration_s"] < 2
        await until_runs(subscriber, one=2)
        next_due = info(subscriber.messages, "one")["fetch"]["next_due"]
    (first, _) = runs(subscriber.messages, "one")
    left = datetime.fromisoformat(next_due) - datetime.fromisoformat(first["due"])
    assert abs(left.total_seconds() - 3600) < 1
    (stream,) = streams(subscriber.messages, topic("one", "heart_rate")).values()
    stream.check()
    assert not subscriber.at(GAP)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
