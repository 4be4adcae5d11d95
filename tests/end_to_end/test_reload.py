"""New settings for a running daemon: unchanged parts are left alone, nothing is lost."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from healthd.errors import Backoff
from healthd.mqtt import reasons
from healthd.simulator.broker import EmbeddedBroker
from healthd.verbs import Fetch, RequestRefused
from tests.end_to_end.reload_rig import (
    BOUND_S,
    GAP,
    ReloadRig,
    entry,
    of_healthd,
    retained,
    topic,
    until_streaming,
)
from tests.end_to_end.simulated_gateway import info, runs, until_runs
from tests.support.conformity import conform
from tests.support.mosquitto import Mosquitto, needs_mosquitto, password_file
from tests.support.streams import streams
from tests.support.subscriber import Subscriber

THREE = (entry("one", 1), entry("two", 2), entry("three", 3))
ALL = ("one", "two", "three")
STATUS = "healthd/gateway/status"


async def test_one_of_three_changes_and_the_others_keep_their_links(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    rig = ReloadRig(tmp_path, settings, *THREE)
    async with rig.running():
        await until_streaming(subscriber, *ALL)
        before = {number: rig.link_identity(number) for number in (1, 2, 3)}
        published, logged = len(subscriber.messages), len(rig.log)
        rig.write(
            settings, entry("one", 1), entry("two", 2, heart_rate_zones=[60]), entry("three", 3)
        )
        messages = await rig.reload()
        assert {"RELOADING", "MONOTONIC_USEC"} <= messages[0].keys()
        await until_streaming(subscriber, *ALL)
        after = {number: rig.link_identity(number) for number in (1, 2, 3)}
        meanwhile, lines = subscriber.messages[published:], rig.log[logged:]
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
        rig.reloaded().items()
        >= {
            "added": [],
            "changed": ["two"],
            "removed": [],
            "unchanged": 2,
        }.items()
    )


async def test_one_is_added_one_removed_and_a_less_specific_entry_gives_up_a_device(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, broker: EmbeddedBroker
) -> None:
    one, two, three = THREE
    any_strap = {"id": "any", "service": "heart_rate"}
    rig = ReloadRig(tmp_path, settings, one, two)
    async with rig.running():
        await until_streaming(subscriber, "one", "two")
        before = rig.link_identity(1)
        rig.write(settings, one, two, any_strap)
        await rig.reload()
        # The first two devices belong to other entries.
        await rig.straps[3].linked.wait()
        await until_streaming(subscriber, "any")
        assert topic("two", "battery") in await retained(broker.port)
        rig.write(settings, one, any_strap, three)
        published = len(subscriber.messages)
        await rig.reload()
        assert rig.reloaded().items() >= {"added": ["three"], "removed": ["two"]}.items()
        # "three" gets its own device, and "any" the one that is free now.
        await subscriber.until_payload(topic("any", "status"), b"offline", since=published)
        await until_streaming(subscriber, "one", "any", "three")
        assert rig.link_identity(1) == before
        assert rig.straps[2].linked.is_set()
        found = await retained(broker.port)
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


async def test_bad_settings_are_logged_and_change_nothing(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    rig = ReloadRig(tmp_path, settings, *THREE)
    async with rig.running():
        await until_streaming(subscriber, *ALL)
        before = [rig.link_identity(number) for number in (1, 2, 3)]
        rig.write(settings, entry("one", 1, every="often"))
        rig.append('[log]\nlevel = "loud"')
        await rig.reload()
        problems = {line["key"]: line for line in rig.log if line["event"] == "bad setting"}
        assert problems.keys() == {"log.level", "peripherals[0].every"}
        assert problems["log.level"]["found"] == "'loud'"
        assert all({"file", "expected"} <= line.keys() for line in problems.values())
        rig.write(settings, entry("one", 1, passkey_file=str(tmp_path / "absent")))
        await rig.reload()
        (line,) = (line for line in rig.log if line["event"] == "file unavailable")
        assert line["error"].startswith("peripherals.one.passkey_file: ")
        assert [line["event"] for line in rig.log].count("not reloaded") == 2
        # Keys that need a restart are named, and the rest of the file is applied.
        other = {**settings, "bluetooth": {"slots": 4}, "outbox": {"directory": "/nowhere"}}
        rig.write({**other, "gateway": {"id": "other"}}, *THREE)
        await rig.reload()
        postponed = [line for line in rig.log if line["event"] == "needs a restart"]
        await until_streaming(subscriber, *ALL)
        assert [rig.link_identity(number) for number in (1, 2, 3)] == before
    assert {line["key"] for line in postponed} == {
        *("bluetooth.slots", "gateway.id", "outbox.directory", "outbox.max_size")
    }
    assert {line["hint"] for line in postponed} == {"sudo systemctl restart healthd"}
    assert rig.reloaded()["unchanged"] == 3
    assert not subscriber.at(GAP)


async def test_a_request_during_a_reload_is_carried_out_after_it(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    one, two, three = THREE
    rig = ReloadRig(tmp_path, settings, *THREE)
    async with rig.running():
        await until_streaming(subscriber, *ALL)
        rig.write(settings, one, entry("two", 2, silence="20s"), three)
        rig.request_reload()
        rig.request_reload()
        # "two" disconnects now; a second change meanwhile, and a third one right after it.
        await subscriber.until_payload(topic("two", "status"), b"offline", at_most=BOUND_S)
        rig.write(settings, one, two)
        await rig.reload()
        await rig.reload()
        await until_streaming(subscriber, "one", "two")
        assert not rig.straps[3].linked.is_set()
        # One more reload, just before the stop.
        rig.write(settings, *THREE)
        rig.request_reload()
    assert not [line for line in rig.log if line["event"] == "crashed"]
    assert subscriber.at(STATUS)[-1].payload == b"offline"


async def test_a_peripheral_removed_while_healthd_was_down_leaves_no_retained_topics(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path, broker: EmbeddedBroker
) -> None:
    rig = ReloadRig(tmp_path, settings, *THREE)
    async with rig.running():
        await until_streaming(subscriber, *ALL)
    ghosts = {topic("two", last) for last in ("status", "info", "battery")}
    assert ghosts <= (await retained(broker.port)).keys()
    rig.write(settings, THREE[0], THREE[2])
    since = len(subscriber.messages)
    async with rig.running():
        for ghost in ghosts:
            await subscriber.until_payload(ghost, b"", since=since)
        await until_streaming(subscriber, "one", "three")
    found = await retained(broker.port)
    assert not ghosts & found.keys()
    assert topic("one", "battery") in found
    # The next start does not clear them again.
    since = len(subscriber.messages)
    async with rig.running():
        await until_streaming(subscriber, "one", "three")
    assert not [one for one in subscriber.messages[since:] if one.topic in ghosts]


@needs_mosquitto
async def test_another_password_and_another_broker_leave_the_links_alone(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The reload itself must trigger the next try, so no retry comes by itself in time.
    never = Backoff(first_s=1e6, ceiling_s=1e6)
    meanings = vars(reasons)["_MEANINGS"]
    for code in (0x86, 0x87):
        monkeypatch.setitem(meanings, code, meanings[code]._replace(refused=never))
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
        rig = ReloadRig(tmp_path, {**settings, "mqtt": mqtt}, *THREE)
        async with rig.running():
            for strap in rig.straps.values():
                await strap.subscribed.wait()
            before = [rig.link_identity(number) for number in (1, 2, 3)]
            await first.logged("not authorised")
            # The settings are the same, but the content of the password file is not.
            secret.write_text("right")
            await rig.reload()
            await until_streaming(subscriber, *ALL)
            rig.write({**settings, "mqtt": {"brokers": [second.address]}}, *THREE)
            await rig.reload()
            await until_streaming(other, *ALL)
            await subscriber.until_payload(STATUS, b"offline")
            await other.until_payload(STATUS, b"online")
            assert [rig.link_identity(number) for number in (1, 2, 3)] == before
            # A reload without a change does not reconnect.
            since = len(other.messages)
            await rig.reload()
            await until_streaming(other, *ALL)
            assert STATUS not in [one.topic for one in other.messages[since:]]
        await other.until_payload(STATUS, b"offline")
    assert rig.reloaded()["unchanged"] == 3
    everything = [*subscriber.messages, *other.messages]
    for peripheral in ALL:
        (stream,) = streams(everything, topic(peripheral, "heart_rate")).values()
        assert stream.is_whole
    assert not [one for one in everything if one.topic == GAP]


async def test_announcements_follow_added_and_removed_peripherals(
    subscriber: Subscriber,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("healthd.mqtt.discovery.SETTLE_S", 0.2)
    monkeypatch.setattr("healthd.mqtt.discovery.REPEAT_S", 0.5)

    def announced(peripheral: str) -> list[bytes]:
        configs = subscriber.at(f"homeassistant/device/gateway_{peripheral}/config")
        return [config.payload for config in configs]

    one, two, _ = THREE
    rig = ReloadRig(tmp_path, settings, one, two)
    async with rig.running():
        await until_streaming(subscriber, "one", "two")
        before = rig.link_identity(1)
        on = {**settings, "mqtt": {**settings["mqtt"], "discovery": "homeassistant"}}
        rig.write(on, one, two)
        await rig.reload()
        # Both have streamed already, so they are not waited for.
        await subscriber.until(lambda _: announced("one") and announced("two"))
        rig.write(on, one)
        await rig.reload()
        await subscriber.until(lambda _: announced("two")[-1] == b"")
        assert announced("one")[-1] != b""
        rig.write(settings, one)
        await rig.reload()
        await subscriber.until(lambda _: announced("one")[-1] == b"")
        assert rig.link_identity(1) == before
    assert not [line for line in rig.log if line["event"] == "needs a restart"]


async def test_changed_settings_refuse_a_waiting_fetch_and_keep_the_schedule(
    subscriber: Subscriber,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.2)
    request = Fetch(peripheral="one")
    rig = ReloadRig(tmp_path, settings, entry("one", 1, every="1h", window="30s"))
    async with rig.running():
        await until_streaming(subscriber, "one")
        asked = asyncio.ensure_future(rig.fetch(request))
        await asyncio.sleep(0)  # it joins the current run
        rig.write(settings, entry("one", 1, every="1h", window="2s"))
        await rig.reload()
        with pytest.raises(RequestRefused, match="other settings"):
            await asked
        # The aborted run is still due.
        await until_runs(subscriber, one=1)
        rig.write(settings, entry("one", 1, every="1h", window="1s"))
        await rig.reload()
        fetched = await rig.fetch(request)
        assert fetched["outcome"] == "new_data"
        assert fetched["duration_s"] < 2
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
