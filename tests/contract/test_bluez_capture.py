"""A capture over the real bleak and D-Bus, and a fake bluetoothd."""

import pytest

from healthd.gateway.capturing import system
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.gateway import Gateway, by_address
from tests.unit.central.test_taps import Seen

pytestmark = needs_dbus

ADDRESS = "C0:00:00:00:00:01"


async def test_a_link_over_bluez(bus: Bus) -> None:
    gateway, seen = Gateway(by_address()), Seen()
    gateway.radio.tap("strap", seen)
    async with BlueZ(bus, strap(ADDRESS), adapters={"hci0": True}) as bluez, gateway:
        await seen.until(lambda: len(seen.values) >= 5)
        (notifying,) = {path for member, path in bluez.calls if member == "StartNotify"}
        await bluez.do("unlink", address=ADDRESS)
        await seen.until(lambda: seen.ended)
    (opened, *_) = seen.opened
    assert opened.address == ADDRESS
    handles = {
        each["uuid"]: each["handle"]
        for service in opened.services
        for each in service["characteristics"]
    }
    numbers = [value[1] for uuid, value in seen.values if uuid == "2a37"]
    assert numbers[:5] == [(numbers[0] + index) % 256 for index in range(5)]
    assert [(uuid, mode) for uuid, mode, _ in seen.subscribed] == [("2a37", "notify")]
    assert (seen.advertised[0].address, seen.advertised[0].name) == (ADDRESS, "Strap")
    # The object has the handle of the declaration; the value has the next one.
    assert handles["2a37"] == int(notifying[-4:], 16) + 1


@pytest.mark.parametrize(
    ("modalias", "version"), [("usb:v1D6Bp0246d0552", "5.82"), ("bluetooth:v000Fp1200d1436", None)]
)
async def test_what_is_known_of_bluez(bus: Bus, modalias: str, version: str | None) -> None:
    async with BlueZ(bus, strap(ADDRESS), adapters={"hci0": True}, modalias=modalias):
        known = await system.describe("hci0", has_bluez=True)
        absent = await system.describe("hci1", has_bluez=True)
    assert known.get("bluez") == version
    assert (known["adapter"], known["modalias"]) == ("hci0", modalias)
    assert "bluez" not in absent
    assert await system.describe(None, has_bluez=True) == {"kernel": known["kernel"]}


async def test_a_bluez_that_is_gone_is_left_out(bus: Bus) -> None:
    assert (await system.describe("hci0", has_bluez=True)).keys() == {"kernel", "adapter"}
