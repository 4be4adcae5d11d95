"""Notified values reach healthd once and in order, with and without the way around bleak.

The bus is a real dbus-daemon, and bleak is the real one; bluetoothd is a fake.
"""

from typing import Any

import pytest
from bleak_retry_connector.bleak_manager import get_global_bluez_manager_sync

from healthd.central import values as values_module
from healthd.profiles.characteristic import Characteristic
from tests.support.bluez import BlueZ, Bus, needs_dbus, strap
from tests.support.gateway import Gateway, by_address

pytestmark = needs_dbus

ADDRESS = "C0:00:00:00:00:01"
VALUES = 20
CHARACTERISTIC = "org.bluez.GattCharacteristic1"


class Recording(Gateway):
    """A gateway that notes the number in each value; the fake strap counts."""

    def __init__(self) -> None:
        super().__init__(by_address())
        self.numbers: list[int] = []

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        assert type(value) is bytes
        self.numbers.append(value[1])
        super().on_value(peripheral, characteristic, value)

    async def receives(self) -> list[int]:
        """Return the numbers of the next values."""
        begin = len(self.numbers)
        await self.until(lambda: len(self.numbers) >= begin + VALUES)
        return self.numbers[begin : begin + VALUES]


def are_consecutive(numbers: list[int]) -> bool:
    return numbers == [(numbers[0] + index) % 256 for index in range(len(numbers))]


def known_to_bleak() -> list[Any]:
    """Return the values of characteristics that bleak has seen."""
    manager: Any = get_global_bluez_manager_sync()
    found = [interfaces.get(CHARACTERISTIC, {}) for interfaces in manager._properties.values()]
    return [properties["Value"] for properties in found if "Value" in properties]


@pytest.mark.parametrize("is_known", [True, False], ids=["known bleak", "another bleak"])
async def test_values_arrive_once_and_in_order_on_each_link(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    if not is_known:
        monkeypatch.setattr(values_module, "get_global_bluez_manager_sync", lambda: None)
    async with BlueZ(bus, strap(ADDRESS), adapters={"hci0": True}) as bluez, Recording() as gateway:
        for _ in range(2):
            assert are_consecutive(await gateway.receives())
            assert bool(known_to_bleak()) is not is_known, "the way that is tested is not taken"
            await bluez.do("unlink", address=ADDRESS)
            await gateway.lost("link_lost")
            gateway.states.clear()


async def test_values_arrive_once_after_a_restart_of_dbus(bus: Bus) -> None:
    async with Recording() as gateway:
        async with BlueZ(bus, strap(ADDRESS), adapters={"hci0": True}):
            assert are_consecutive(await gateway.receives())
            await bus.kill()
            await gateway.lost("dbus_lost", "link_lost", "bluez_gone")
        await bus.start()
        async with BlueZ(bus, strap(ADDRESS), adapters={"hci0": True}):
            assert are_consecutive(await gateway.receives())
            assert not known_to_bleak()
