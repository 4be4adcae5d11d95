"""An adapter that stays broken, and a reset that cannot be requested."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from healthd.central import recovery
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.gateway import Gateway, by_address

pytestmark = needs_dbus

BUSY = ("org.bluez.Error.InProgress", "Operation already in progress")
FAILED = ("org.bluez.Error.Failed", "")


@pytest.fixture
async def bluez(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BlueZ]:
    """A bluetoothd whose adapter cannot scan."""
    monkeypatch.setattr(recovery, "FAILURES", 1)
    monkeypatch.setattr(recovery, "_PACE_S", 0.1)
    async with BlueZ(bus, strap(), adapters={"hci0": True}) as bluez:
        await bluez.do("fail", members={"StartDiscovery": BUSY})
        yield bluez


async def test_without_a_helper_it_is_reported_as_broken(bluez: BlueZ) -> None:
    async with Gateway(by_address()) as gateway:
        await gateway.until(lambda: "broken" in gateway.changes())


async def test_a_reset_that_cannot_be_requested_is_logged(bluez: BlueZ, tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with Gateway(by_address(), reset_file=tmp_path / "nowhere" / "reset") as gateway:
            await gateway.until(lambda: "reset" in gateway.changes())
            async with asyncio.timeout(20):
                while not any("reset" in str(line["event"]) for line in lines):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


async def test_a_power_cycle_that_fails_is_tried_again(bluez: BlueZ) -> None:
    await bluez.do("fail", members={"StartDiscovery": BUSY, "Set": FAILED})
    async with Gateway(by_address()) as gateway:
        await gateway.until(lambda: gateway.changes().count("power_cycle") >= 1)
        # It goes on: once the adapter works, the link is made.
        await bluez.do("fail", members={})
        await gateway.streams()
