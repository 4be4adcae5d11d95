"""When a device is done: after its clock was set, or after its results were requested."""

import asyncio
import random
from collections.abc import AsyncGenerator
from datetime import datetime

import pytest
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue

from healthd.central.faults import LinkLost
from healthd.profiles.options import Consent, Options
from healthd.simulator.attributes import indicating, service
from healthd.simulator.health.clock import DeviceClock
from healthd.simulator.health.scale import user_scale, weight_scale
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from tests.support.stage import BOUND_S, Stage, address, by_address

ENTRY = by_address(1, "scale")
WEIGHT = bytes.fromhex("00 803e")  # 80 kg


def noon() -> datetime:
    return datetime(2026, 11, 24, 12)  # noqa: DTZ001 - what a clock shows


AT_NOON = Options(local_time=noon)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waiting times that the tests are not about."""
    monkeypatch.setattr("healthd.sessions.collect.QUIET_S", 0.4)
    monkeypatch.setattr("healthd.sessions.collect.SETTLED_S", 0.2)


async def fetch(stage: Stage, device: VirtualPeripheral, options: Options = AT_NOON) -> None:
    async with asyncio.timeout(BOUND_S), stage.radio(ENTRY) as radio:
        await stage.add(device)
        session = stage.session(radio, ENTRY, options=options)
        await session.fetch(lambda: None)


async def test_a_device_whose_clock_was_set_may_still_measure(stage: Stage) -> None:
    """It was not asked for data, so nothing is known to be finished: weighing takes time."""
    clock = DeviceClock()
    parts = weight_scale(random.Random(1), 1.0, clock)
    await fetch(stage, VirtualPeripheral("Scale", address(1), parts))
    assert stage.watcher.count("2a9d") >= 1
    assert abs((clock.now() - noon()).total_seconds()) < 60


class Hasty:
    """A scale that sends a number of results, and disconnects while its clock is set."""

    def __init__(self, results: int) -> None:
        self._results = results
        self._asked = asyncio.Event()
        self._hangs: list[asyncio.Task[None]] = []
        properties = Characteristic.Properties
        weight = indicating(0x2A9D)
        clock: Characteristic[bytes] = Characteristic(
            UUID.from_16_bits(0x2A2B),
            properties.WRITE,
            Characteristic.WRITEABLE,
            CharacteristicValue[bytes](write=self._set),
        )
        parts = [
            Part(service(0x181D, [weight]), {weight: self._give}, advertised=True),
            Part(service(0x1805, [clock])),
        ]
        self.device = VirtualPeripheral("Scale", address(1), parts)

    async def _give(self) -> AsyncGenerator[bytes, None]:
        for _ in range(self._results):
            yield WEIGHT
        await self._asked.wait()
        self._hangs.append(asyncio.create_task(self.device.rest()))

    async def _set(self, _: Connection | None, _value: bytes) -> None:
        self._asked.set()
        await self.device.unlinked.wait()


async def test_a_device_that_disconnects_while_its_clock_is_set_is_done(stage: Stage) -> None:
    await fetch(stage, Hasty(3).device)
    assert stage.watcher.count("2a9d") == 3


async def test_a_device_that_disconnects_before_any_result_is_not_done(stage: Stage) -> None:
    with pytest.raises(LinkLost):
        await fetch(stage, Hasty(0).device)


async def test_a_device_that_refused_the_user_and_disconnects_is_done(
    stage: Stage,
) -> None:
    scale = VirtualPeripheral("Scale", address(1), user_scale(random.Random(1), 1.0))
    fetching = asyncio.create_task(fetch(stage, scale, Options(consent=Consent(1, 4321))))
    await stage.watcher.until(lambda: stage.watcher.count("2a9f") == 2)  # asked and answered
    await scale.rest()
    await fetching
    assert stage.watcher.count("2a9d") == 0
