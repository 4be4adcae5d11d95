"""A scanner that has stopped without an error is noticed while someone listens, and recovered.

The bus is a real dbus-daemon, and bleak is the real one; bluetoothd is a fake.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from healthd.central import recovery as recovery_module
from healthd.central import scanner as scanner_module
from healthd.central.faults import AdapterGone
from healthd.central.link import Advertisement
from healthd.central.match import By, Match
from healthd.profiles.battery import Battery
from healthd.profiles.characteristic import Broadcast, Use
from tests.support.bluez import BOUND_S, BlueZ, Bus, needs_dbus, strap
from tests.support.gateway import Gateway

pytestmark = needs_dbus

SCALE = "C0:00:00:00:00:01"
WEIGHT = Broadcast(
    uuid="scale",
    model=Battery,
    decode=lambda data: Battery(level_pct=data[0]),
    use=Use.STREAM,
    keys=("service_data_181d",),
)
ANY = Match("scale", By.SERVICE, "", broadcasts=(WEIGHT,))


class Inbox:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self._more = asyncio.Event()

    def on_broadcast(self, found: Advertisement) -> None:
        self.values.append(found.data["service_data_181d"])
        self._more.set()

    def on_rivals(self, addresses: tuple[str, str]) -> None:
        raise AssertionError(addresses)

    def on_lost(self, fault: AdapterGone) -> None:
        pass

    async def more(self) -> None:
        """Wait for one more value."""
        self._more.clear()
        async with asyncio.timeout(BOUND_S):
            await self._more.wait()


@pytest.fixture
async def bluez(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BlueZ]:
    monkeypatch.setattr(recovery_module, "SILENCE_S", 1.0)
    monkeypatch.setattr(recovery_module, "_PACE_S", 1.0)
    data = {"0000181d-0000-1000-8000-00805f9b34fb": "22"}
    scale = strap(SCALE, "Scale", uuids=[], service_data=data, connectable=False)
    async with BlueZ(bus, scale, adapters={"hci0": True}) as bluez:
        yield bluez


async def test_a_scan_that_has_become_silent_is_restarted(bluez: BlueZ) -> None:
    inbox = Inbox()
    async with Gateway() as gateway:
        with gateway.radio.broadcasts(ANY, inbox):
            await inbox.more()
            await bluez.do("silence", on=True)
            await gateway.until(lambda: gateway.changes()[-1] == "rescan")
            await bluez.do("silence", on=False)
            await inbox.more()
            # The value may still be of the old scan.
            await gateway.until(lambda: bluez.count("StartDiscovery") >= 2)
            assert "power_cycle" not in gateway.changes()


async def test_all_steps_are_taken_while_it_stays_silent(bluez: BlueZ) -> None:
    inbox = Inbox()
    async with Gateway() as gateway:
        with gateway.radio.broadcasts(ANY, inbox):
            await inbox.more()
            await bluez.do("silence", on=True)
            await gateway.until(lambda: "broken" in gateway.changes())
            taken = [step for step in gateway.changes() if step in ("rescan", "power_cycle")]
            assert taken == ["rescan", "power_cycle"]
            await bluez.kill()
            await bluez.start()  # what a person does then
            await inbox.more()


async def test_foreign_devices_show_that_the_scanner_works(bluez: BlueZ) -> None:
    inbox = Inbox()
    async with Gateway() as gateway:
        with gateway.radio.broadcasts(ANY, inbox):
            await inbox.more()
            await bluez.do("foreign", adapter="hci0", count=3, per_s=20)
            await bluez.do("set", address=SCALE, to={"away": True})
            await asyncio.sleep(3.0)
            assert "rescan" not in gateway.changes()


@pytest.mark.parametrize("member", ["StartDiscovery", "StopDiscovery"])
async def test_a_bluetoothd_that_refuses_to_scan_is_stuck(
    bluez: BlueZ, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    monkeypatch.setattr(recovery_module, "FAILURES", 2)
    inbox = Inbox()
    async with Gateway() as gateway:
        busy = {member: ["org.bluez.Error.InProgress", "Operation already in progress"]}
        await bluez.do("fail", members=busy)
        with gateway.radio.broadcasts(ANY, inbox):
            while "rescan" not in gateway.changes():
                gateway.radio.rescan()
                await asyncio.sleep(0.1)
            await bluez.do("fail", members={})
            await inbox.more()


async def test_a_bluetoothd_that_does_not_answer_is_stuck(
    bluez: BlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery_module, "FAILURES", 1)
    monkeypatch.setattr(scanner_module, "_SCAN_TIMEOUT_S", 0.5)
    inbox = Inbox()
    async with Gateway() as gateway:
        await bluez.do("hang", members=["StartDiscovery"])
        with gateway.radio.broadcasts(ANY, inbox):
            await gateway.until(lambda: "rescan" in gateway.changes())
            await bluez.do("hang", members=[])
            await inbox.more()
