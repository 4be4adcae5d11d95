"""A capture is played to the daemon, which publishes the same as it did on the device itself.

Everything runs in virtual time: the daemon on the simulated device, and both replays.
"""

import asyncio
import random
from pathlib import Path

import pytest

from healthd.settings.keys import Keys
from healthd.settings.model import Settings
from healthd.simulator.broadcasting.catalogue import BROADCASTING
from healthd.simulator.broker import EmbeddedBroker
from healthd.simulator.catalogue import CATALOGUE
from tests.support.capture_writer import CaptureWriter
from tests.support.replaying import (
    Messages,
    in_replay_loop,
    live,
    masked,
    measured,
    replayed,
    samples,
    settings_of,
)

ADDRESS = "C0:5E:5E:00:00:01"
MODELS = {**CATALOGUE, **BROADCASTING}
# Long enough for weighings, which take four periods of ten seconds.
SECONDS = 30.0


async def _thirty_seconds() -> None:
    await asyncio.sleep(SECONDS)


def _settings(broker: EmbeddedBroker, folder: Path, name: str) -> Settings:
    model = MODELS[name]
    settings = settings_of(broker, folder, [{"id": "one", "address": ADDRESS, **model.settings}])
    keys = Keys(folder)
    keys.make_folder()
    if (key := getattr(model, "key", None)) is not None:
        keys.store("one", key)
    return settings


@pytest.mark.parametrize("name", MODELS)
def test_a_replay_publishes_the_same_as_the_device(name: str, tmp_path: Path) -> None:
    """The same samples in each topic, in the same order, byte for byte.

    This holds with the identity of the device, and without. The id of the run and the times of
    samples are compared between two replays, which have all bytes of all messages in common.
    """
    device = MODELS[name].make(ADDRESS, random.Random(7))

    async def body() -> tuple[Messages, Messages, Messages, Messages]:
        async with EmbeddedBroker() as broker:
            before, whole = await live(
                _settings(broker, tmp_path / "live", name), [device], _thirty_seconds
            )
            capture = masked(whole, keep_identity=True)
            first = await replayed(_settings(broker, tmp_path / "first", name), capture)
            second = await replayed(_settings(broker, tmp_path / "second", name), capture)
            hidden = masked(capture, keep_identity=False)
            third = await replayed(_settings(broker, tmp_path / "third", name), hidden)
        return before, first, second, third

    before, first, second, third = in_replay_loop(body)
    assert measured(before)
    assert measured(first) == measured(before)
    assert first == second
    assert measured(third) == measured(before)


def test_a_sample_has_the_time_of_its_notification(tmp_path: Path) -> None:
    writer = CaptureWriter()
    writer.advertise(1.5)
    writer.connect(2.25)
    writer.subscribe(2.5)
    for t in (3.125, 4.0, 4.8755):
        writer.beat(t, 70)
    writer.disconnect(6.0, "healthd closed it")

    async def body() -> Messages:
        async with EmbeddedBroker() as broker:
            entry = {"id": "one", "address": ADDRESS}
            return await replayed(settings_of(broker, tmp_path, [entry]), writer.data())

    found = samples(in_replay_loop(body))["device/one/heart_rate"]
    assert [one["time"] for one in found] == [
        "2026-11-24T12:00:03.125000Z",
        "2026-11-24T12:00:04.000000Z",
        "2026-11-24T12:00:04.875500Z",
    ]
    assert {one["id"].partition("-")[0] for one in found} == {"00000007"}


def test_time_runs_faster(tmp_path: Path) -> None:
    """Ten minutes in ten seconds, with every sample."""
    writer = CaptureWriter()
    writer.advertise(0.5)
    writer.connect(1.0)
    writer.subscribe(1.5)
    writer.beats(2, 600)
    writer.disconnect(600, "healthd closed it")

    async def body() -> tuple[Messages, float]:
        loop = asyncio.get_running_loop()
        async with EmbeddedBroker() as broker:
            settings = settings_of(broker, tmp_path, [{"id": "one", "address": ADDRESS}])
            began = loop.time()
            messages = await replayed(settings, writer.data(), seed=None, speed=60)
            return messages, loop.time() - began

    messages, took_s = in_replay_loop(body)
    found = samples(messages)["device/one/heart_rate"]
    assert [one["heart_rate_bpm"] for one in found] == [t % 250 + 1 for t in range(2, 600)]
    assert 10 <= took_s < 45
