"""``healthd hass-backfill`` with a real broker, and a server with the rules of Home Assistant."""

import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.hass_statistics import TOKEN, HassStatistics, Row
from tests.support.mosquitto import Mosquitto, StartMosquitto, needs_mosquitto
from tests.support.process import Healthd, complaints
from tests.support.subscriber import publish

pytestmark = needs_mosquitto

RATE = "healthd/home/device/strap/heart_rate"
OWN = "healthd:home_strap_heart_rate_bpm"

# Two hours ago: settled, whatever the present minute is.
HOUR = int(datetime.now(UTC).replace(minute=0, second=0, microsecond=0).timestamp()) - 2 * 3600

SETTINGS = """
[gateway]
id = "home"
[mqtt]
brokers = ["{broker}"]
{mqtt}
[outbox]
directory = "{folder}"
[hass]
url = "{hass}"
token_file = "{token}"
"""


def sample(seq: int, bpm: float, *, at: int = HOUR, clock: str = "synced") -> str:
    time = datetime.fromtimestamp(at + seq, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    envelope = {"id": f"7f3a1c0e-{seq}", "time": time, "clock": clock, "seq": seq}
    return json.dumps({**envelope, "heart_rate_bpm": bpm})


def row(mean: float, least: float, most: float) -> Row:
    return {"mean": mean, "min": least, "max": most}


@pytest.fixture
async def hass() -> AsyncIterator[HassStatistics]:
    """A Home Assistant."""
    async with HassStatistics() as server:
        yield server


class Rig:
    """A broker, a Home Assistant and the settings for both."""

    def __init__(self, folder: Path, broker: Mosquitto, hass: HassStatistics) -> None:
        self.broker = broker
        self.hass = hass
        self.token = folder / "hass-token"
        self.token.write_text(f"{TOKEN}\n")
        self._folder = folder
        self._config = folder / "healthd.toml"
        self.configure()

    def configure(self, mqtt: str = "") -> None:
        self._config.write_text(
            SETTINGS.format(
                broker=self.broker.address,
                folder=self._folder / "state",
                hass=self.hass.url,
                token=self.token,
                mqtt=mqtt,
            )
        )

    def command(self, *options: str) -> Healthd:
        return Healthd("hass-backfill", "--config", str(self._config), *options)

    async def once(self) -> tuple[int, Healthd]:
        async with self.command("--once") as healthd:
            return await healthd.ended(), healthd

    async def publish(self, topic: str, payload: str) -> None:
        await publish(self.broker.port, topic, payload)


@pytest.fixture
async def rig(tmp_path: Path, mosquitto: StartMosquitto, hass: HassStatistics) -> Rig:
    """The rig, with nothing published yet."""
    return Rig(tmp_path, await mosquitto(), hass)


async def connected(healthd: Healthd) -> None:
    for levels in ("+/+", "+/+/history"):
        await healthd.logged("connected", topics=f"healthd/home/device/{levels}")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_an_hour_has_its_live_and_its_late_samples(rig: Rig, version: str) -> None:
    rig.configure(f'version = "{version}"')
    async with rig.command() as healthd:
        await connected(healthd)
        await rig.publish(RATE, sample(1, 60))
        await rig.publish(f"{RATE}/history", sample(2, 90))
        await rig.hass.has({OWN: {HOUR: row(75, 60, 90)}})
        assert await healthd.stopped() == 0
    assert complaints(healthd.log) == []
    # Both are delivered again, and one more is late: it was published while nothing was running.
    await rig.publish(RATE, sample(1, 60))
    await rig.publish(f"{RATE}/history", sample(2, 90))
    await rig.publish(f"{RATE}/history", sample(3, 120))
    await rig.publish(RATE, sample(4, 130))
    async with rig.command() as healthd:
        await rig.hass.has({OWN: {HOUR: row(100, 60, 130)}})
        assert await healthd.stopped() == 0
    assert complaints(healthd.log) == []
    assert (rig.hass.warnings, rig.hass.harmed) == ([], [])


async def test_kill_9_and_repeats_count_nothing_twice_and_lose_nothing(rig: Rig) -> None:
    order = random.Random(17)
    beats = list(range(1, 61))
    async with rig.command() as healthd:
        await connected(healthd)
    for round_ in range(3):
        async with rig.command() as healthd:
            await connected(healthd)
            repeated = order.sample(beats[: (round_ + 1) * 20], 15)
            new = beats[round_ * 20 : (round_ + 1) * 20]
            for seq in (*new[:10], *repeated, *new[10:]):
                await rig.publish(f"{RATE}/history", sample(seq, float(seq)))
            healthd.send_kill()
            await healthd.ended()
    async with rig.command() as healthd:
        await rig.hass.has({OWN: {HOUR: row(30.5, 1, 60)}})
        assert await healthd.stopped() == 0


async def test_once_imports_what_waits_and_stops(rig: Rig) -> None:
    code, healthd = await rig.once()
    assert (code, complaints(healthd.log)) == (0, [])
    await rig.publish(f"{RATE}/history", sample(1, 60))
    await rig.publish(f"{RATE}/history", sample(2, 90))
    code, healthd = await rig.once()
    assert (code, complaints(healthd.log)) == (0, [])
    assert rig.hass.rows == {OWN: {HOUR: row(75, 60, 90)}}
    imports = len(rig.hass.imports)
    await rig.publish(f"{RATE}/history", sample(2, 90))
    assert (await rig.once())[0] == 0
    assert len(rig.hass.imports) == imports


async def test_once_fails_if_home_assistant_refuses_the_token(rig: Rig) -> None:
    await rig.once()
    await rig.publish(f"{RATE}/history", sample(1, 60))
    rig.token.write_text("wrong")
    code, healthd = await rig.once()
    failed = await healthd.logged("failed")
    assert (code, failed["reason"]) == (1, "token_refused")
    # What was received is not lost.
    rig.token.write_text(TOKEN)
    assert (await rig.once())[0] == 0
    assert rig.hass.rows == {OWN: {HOUR: row(60, 60, 60)}}


async def test_once_fails_without_a_broker(rig: Rig) -> None:
    await rig.broker.kill()
    code, healthd = await rig.once()
    failed = await healthd.logged("failed")
    assert (code, failed["reason"]) == (1, "broker_unreachable")


@pytest.mark.parametrize("problem", ["", "missing"])
async def test_an_unusable_token_file_is_named(rig: Rig, problem: str) -> None:
    if problem:
        rig.token.unlink()
    else:
        rig.token.write_text("\n")
    await rig.once()
    await rig.publish(f"{RATE}/history", sample(1, 60))
    code, healthd = await rig.once()
    unavailable = await healthd.logged("file unavailable")
    assert code == 1
    assert "hass.token_file" in unavailable["error"]


async def test_samples_of_an_unsynchronised_clock_are_left_out_and_logged(rig: Rig) -> None:
    async with rig.command() as healthd:
        await connected(healthd)
        for seq in (1, 2):
            await rig.publish(f"{RATE}/history", sample(seq, 60, clock="unsynced"))
        left = await healthd.logged("samples left out", peripheral="strap")
        assert (left["reason"], left["count"]) == ("clock not synchronised", 2)
        assert await healthd.stopped() == 0
    assert rig.hass.rows == {}


async def test_a_broker_that_forgets_the_session_is_logged(rig: Rig) -> None:
    async with rig.command() as healthd:
        await connected(healthd)
        await healthd.stopped()
    # It has no persistence.
    await rig.broker.stop()
    await rig.broker.start()
    async with rig.command() as healthd:
        await healthd.logged("session lost")
        await connected(healthd)
        assert await healthd.stopped() == 0
