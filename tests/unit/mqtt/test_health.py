"""The gateway's counters: their keys and values, and their renewal."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest

from healthd.host.clock import Clock
from healthd.mqtt.devices import Devices
from healthd.mqtt.health import Health
from healthd.mqtt.payloads import GatewayHealth, Payload
from healthd.mqtt.topics import Topics
from healthd.outbox.continuity import RunFile
from healthd.outbox.outbox import Outbox
from healthd.runs import Run
from healthd.samples import Measurement, Stamp
from healthd.settings.model import OutboxSettings

BOUND_S = 10.0


class Beat(Measurement):
    kind: ClassVar[str] = "beat"


def open_files() -> int:
    """How many files this process has open, without the one that lists them."""
    return len(list(Path("/proc/self/fd").iterdir())) - 1


def _ignore(topic: str, payload: Payload | bytes) -> None:
    """Drop what is retained for devices."""


class Payloads:
    """Records what is retained at the health topic."""

    def __init__(self) -> None:
        self.all: list[bytes] = []
        self._came = asyncio.Event()

    def __call__(self, payload: GatewayHealth) -> None:
        self.all.append(payload.encoded())
        self._came.set()

    async def next(self) -> dict[str, Any]:
        self._came.clear()
        async with asyncio.timeout(BOUND_S):
            await self._came.wait()
        return orjson.loads(self.all[-1])


class Gateway:
    """The parts that have counters."""

    def __init__(self, folder: Path) -> None:
        self.run = Run(Clock(folder / "no-timesyncd"), {})
        settings = OutboxSettings.model_validate({"max_size": 1_000_000})
        self.outbox = Outbox(self.run, settings, folder, RunFile(None, "gateway"))
        self.devices = Devices(Topics("healthd", "gateway"), _ignore)
        self.payloads = Payloads()
        self.radio = {"scan_s": 1.5, "scan_duty_pct": 0.5, "linked_s": {"scale": 0.5}}
        self.health = Health(self.outbox, self.devices, self.payloads, lambda: self.radio)
        self.healthy = asyncio.Event()

    async def started(self) -> dict[str, Any]:
        """Start it, and wait for its first payload."""
        self.task = asyncio.create_task(self.health.run(self.healthy.set))
        return await self.payloads.next()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    gateway = Gateway(tmp_path)
    async with gateway.outbox:
        yield gateway
        gateway.task.cancel()
        await asyncio.wait([gateway.task])


async def test_every_counter_has_its_key(gateway: Gateway) -> None:
    before = datetime.now(UTC)
    counters = await gateway.started()
    assert counters.keys() == {
        "time",
        "uptime_s",
        "resident_bytes",
        "open_files",
        "log_lines_lost",
        "links",
        "radio",
        "outbox",
    }
    assert counters["radio"] == gateway.radio
    assert counters["outbox"] == await gateway.outbox.stats()
    assert before <= datetime.fromisoformat(counters["time"]) <= datetime.now(UTC)
    assert 0 <= counters["uptime_s"] <= BOUND_S
    # A running interpreter has more than one megabyte, and this one less than a gigabyte.
    assert 1e6 < counters["resident_bytes"] < 1e9
    assert counters["open_files"] == open_files()
    assert counters["log_lines_lost"] == 0
    assert counters["links"] == {}
    assert gateway.healthy.is_set()


async def test_links_are_counted_by_state(gateway: Gateway) -> None:
    for peripheral, state in (("a", "streaming"), ("b", "searching"), ("c", "streaming")):
        gateway.devices.on_state(peripheral, state)
    assert (await gateway.started())["links"] == {"streaming": 2, "searching": 1}


async def test_the_outbox_counts_waiting_samples(gateway: Gateway) -> None:
    for _ in range(3):
        stamp = Stamp(time.time_ns(), time.monotonic_ns(), "synced")
        gateway.outbox.put(gateway.run.sample("strap", "beat", Beat(), stamp))
    counters = await gateway.started()
    assert (counters["outbox"]["in_memory"], counters["outbox"]["on_disk"]) == (3, 0)


async def test_counters_are_renewed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healthd.mqtt.health.HEALTH_PERIOD_S", 0.01)
    first = await gateway.started()
    gateway.devices.on_state("strap", "streaming")
    async with asyncio.timeout(BOUND_S):
        while (later := await gateway.payloads.next())["links"] == {}:
            pass
    assert later["links"] == {"streaming": 1}
    assert later["time"] > first["time"]


async def test_counters_are_renewed_when_a_device_goes_online_or_offline(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.health._LEAST_S", 0.1)
    await gateway.started()
    for online in (True, False, True):
        gateway.devices.on_state("strap", "streaming" if online else "waiting", online=online)
        links = (await gateway.payloads.next())["links"]
        assert links == ({"streaming": 1} if online else {"waiting": 1})
    # Other states do not count: a peripheral out of range changes them every few seconds.
    count = len(gateway.payloads.all)
    gateway.devices.on_state("scale", "searching")
    gateway.devices.on_state("scale", "connecting")
    await asyncio.sleep(0.3)
    assert len(gateway.payloads.all) == count


async def test_counters_are_renewed_once_a_minute(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float | None] = []
    waiting = asyncio.Event()
    timeout = asyncio.timeout

    def counting(seconds: float | None) -> asyncio.Timeout:
        limits.append(seconds)
        waiting.set()
        return timeout(None)

    monkeypatch.setattr("healthd.mqtt.health._LEAST_S", 0.0)
    await gateway.started()
    monkeypatch.setattr("healthd.mqtt.health.asyncio.timeout", counting)
    async with timeout(BOUND_S):
        await waiting.wait()
    assert limits == [60.0]
    assert len(gateway.payloads.all) == 1
