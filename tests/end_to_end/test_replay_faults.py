"""Faults of a capture happen again: the daemon reacts as it did."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakDBusError, BleakGATTProtocolError

from healthd.capture.replay.errors import error_of
from healthd.simulator.broker import EmbeddedBroker
from healthd.simulator.catalogue import CATALOGUE
from healthd.traffic import lines
from tests.support.capture_writer import ADDRESS, BATTERY, CaptureWriter
from tests.support.replaying import (
    Messages,
    events,
    in_replay_loop,
    live,
    measured,
    replayed,
    samples,
    settings_of,
)

ENTRY: dict[str, Any] = {"id": "one", "address": ADDRESS}


def play(writer: CaptureWriter, folder: Path, **more: Any) -> Messages:
    async def body() -> Messages:
        async with EmbeddedBroker() as broker:
            return await replayed(settings_of(broker, folder, [{**ENTRY, **more}]), writer.data())

    return in_replay_loop(body)


def linked(writer: CaptureWriter, begin: int, end: int) -> None:
    writer.advertise(begin)
    writer.connect(begin + 0.5)
    writer.subscribe(begin + 0.75)
    writer.beats(begin + 1, end)


def links(messages: Messages) -> list[tuple[str, str | None]]:
    return [(event["change"], event.get("reason")) for event in events(messages, "link")]


def rates(messages: Messages) -> list[float]:
    return [one["heart_rate_bpm"] for one in samples(messages)["device/one/heart_rate"]]


def test_a_dropped_link_as_on_the_device(tmp_path: Path) -> None:
    device = CATALOGUE["heart_rate"].make(ADDRESS, random.Random(7))

    async def drop() -> None:
        await asyncio.sleep(10)
        await device.drop()
        await asyncio.sleep(20)

    async def body() -> tuple[Messages, Messages]:
        async with EmbeddedBroker() as broker:
            before, capture = await live(
                settings_of(broker, tmp_path / "live", [ENTRY]), [device], drop
            )
            after = await replayed(settings_of(broker, tmp_path / "replay", [ENTRY]), capture)
        return before, after

    before, after = in_replay_loop(body)
    assert links(before)[:3] == [("up", None), ("down", "link_lost"), ("up", None)]
    assert links(after) == links(before)
    assert events(after, "gap") == events(before, "gap") != []
    assert measured(after) == measured(before)


def test_a_link_is_lost_and_comes_back_a_minute_later(tmp_path: Path) -> None:
    writer = CaptureWriter()
    linked(writer, 0, 10)
    writer.disconnect(10)
    linked(writer, 70, 80)
    writer.disconnect(80, "healthd closed it")
    messages = play(writer, tmp_path)
    assert links(messages)[:3] == [("up", None), ("down", "link_lost"), ("up", None)]
    assert rates(messages) == [*range(2, 11), *range(72, 81)]
    (gap, *_) = events(messages, "gap")
    assert gap["reason"] == "link_lost"
    times = [one["time"] for one in samples(messages)["device/one/heart_rate"]]
    assert times[9] == "2026-11-24T12:01:11.000000Z"


def test_a_connect_that_failed_fails_again(tmp_path: Path) -> None:
    writer = CaptureWriter()
    writer.advertise(1)
    writer.fail(3, "[org.bluez.Error.Failed] le-connection-abort-by-local", took_s=2)
    linked(writer, 20, 30)
    writer.disconnect(30, "healthd closed it")
    messages = play(writer, tmp_path)
    topic = "healthd/gateway/device/one/info"
    reasons = [payload for name, payload in messages if name == topic and b"reason" in payload]
    assert any(b'"connect_aborted"' in payload for payload in reasons)
    assert rates(messages) == [*range(22, 31)]


def test_a_refused_read_is_refused(tmp_path: Path) -> None:
    writer = CaptureWriter()
    writer.advertise(0)
    writer.connect(1)
    refused = str(BleakGATTProtocolError(0x0E))
    where: dict[str, Any] = {"uuid": "2a19", "handle": BATTERY}
    writer.on_link(1.25, lines.Read, **where, error=refused, code=0x0E)
    writer.subscribe(1.5)
    writer.beats(2, 10)
    writer.disconnect(10, "healthd closed it")
    messages = play(writer, tmp_path)
    assert "device/one/battery" not in samples(messages)
    assert rates(messages) == [*range(3, 11)]


@pytest.mark.parametrize(("change", "reason"), [("off", "adapter_off"), ("gone", "adapter_gone")])
def test_an_adapter_that_goes_away(change: str, reason: str, tmp_path: Path) -> None:
    writer = CaptureWriter()
    writer.add(0, lines.AdapterChanged, change="on", detail="hci0 in use")
    linked(writer, 1, 10)
    writer.add(10.01, lines.AdapterChanged, change=change, detail="hci0 not in use")
    writer.disconnect(10.02, "the adapter went away")
    writer.add(40, lines.AdapterChanged, change="on", detail="hci0 in use")
    linked(writer, 41, 50)
    writer.disconnect(50, "healthd closed it")
    messages = play(writer, tmp_path)
    assert links(messages)[:3] == [("up", None), ("down", reason), ("up", None)]
    assert [event["change"] for event in events(messages, "adapter")] == ["on", change, "on"]
    assert {event["adapter"] for event in events(messages, "adapter")} == {"hci0"}
    assert events(messages, "gap")[0]["reason"] == reason


def test_a_device_that_goes_silent(tmp_path: Path) -> None:
    """healthd ends the link itself when the limit of its settings has passed."""
    writer = CaptureWriter()
    linked(writer, 0, 10)
    writer.disconnect(24, "healthd closed it")
    linked(writer, 40, 50)
    writer.disconnect(50, "healthd closed it")
    messages = play(writer, tmp_path, silence="15s")
    assert links(messages)[:3] == [("up", None), ("down", "stalled"), ("up", None)]
    assert rates(messages) == [*range(2, 11), *range(42, 51)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[org.bluez.Error.Failed] Not paired", BleakDBusError),
        ("Strap - C0: Failed to connect after 1 attempt(s): ", TimeoutError),
        ("TimeoutError", TimeoutError),
    ],
)
def test_errors_of_bleak(text: str, name: type[Exception]) -> None:
    assert type(error_of(text)) is name
