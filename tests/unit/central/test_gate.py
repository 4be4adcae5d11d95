"""Which signals of BlueZ go further, and which are stopped before bleak sees them."""

from typing import Any

import pytest
from dbus_fast import Message, Variant

from healthd.central import gate as gate_module
from healthd.central.gate import Gate
from healthd.central.interest import Interest
from healthd.central.match import By, Match

PATH = "/org/bluez/hci0/dev_C0_00_00_00_00_01"
FULL = "0000181d-0000-1000-8000-00805f9b34fb"
RSSI = {"RSSI": Variant("n", -60)}


def signal(
    changed: dict[str, Variant], path: str = PATH, interface: str = "org.bluez.Device1"
) -> Message:
    body: list[Any] = [interface, changed, []]
    properties = "org.freedesktop.DBus.Properties"
    return Message.new_signal(path, properties, "PropertiesChanged", "sa{sv}as", body)


def companies(*numbers: int) -> dict[str, Variant]:
    values = {number: Variant("ay", b"\x01") for number in numbers}
    return {"ManufacturerData": Variant("a{qv}", values)}


def services(*uuids: str) -> dict[str, Variant]:
    return {"ServiceData": Variant("a{sv}", {uuid: Variant("ay", b"\x01") for uuid in uuids})}


def properties(number: int = 1, **more: Any) -> dict[str, Any]:
    address = f"C0:00:00:00:{number >> 8:02X}:{number & 255:02X}"
    return {"Address": address, "Alias": address.replace(":", "-"), **more}


class Door:
    """A gate, and how many foreign devices were left out."""

    def __init__(self, *keys: str) -> None:
        self.foreign = 0
        self.interest = Interest(keys, everyone=False)
        self.gate = Gate(self.interest, self._count)

    def _count(self) -> None:
        self.foreign += 1


@pytest.fixture
def door() -> Door:
    """Return a gate with one foreign device."""
    door = Door("service_data_181d", "manufacturer_data_0157")
    assert not door.gate.on_signal(signal(RSSI)), "not judged yet"
    assert not door.gate.admits(PATH, properties())
    assert door.foreign == 1
    return door


@pytest.mark.parametrize(
    "changed",
    [
        RSSI,
        {"TxPower": Variant("n", 1)},
        companies(0x4C) | RSSI,
        companies(),
        services("0000181b-0000-1000-8000-00805f9b34fb") | RSSI,
        {"AdvertisingFlags": Variant("ay", b"\x06")},
        {},
    ],
    ids=str,
)
def test_what_foreign_devices_advertise_is_stopped(door: Door, changed: dict[str, Variant]) -> None:
    assert door.gate.on_signal(signal(changed))
    assert door.foreign == 2


@pytest.mark.parametrize(
    "changed",
    [
        companies(0x157),
        companies(0x4C, 0x157) | RSSI,
        services(FULL),
        {"Name": Variant("s", "Scale")} | RSSI,
        {"Alias": Variant("s", "Scale")},
        {"UUIDs": Variant("as", [FULL])},
        {"Connected": Variant("b", True)},
        {"Address": Variant("s", "C0:00:00:00:00:02")},
    ],
    ids=str,
)
def test_what_may_concern_us_goes_further(door: Door, changed: dict[str, Variant]) -> None:
    assert not door.gate.on_signal(signal(changed))
    assert door.gate.changed == changed
    assert door.foreign == 1


def test_other_signals_go_further(door: Door) -> None:
    value = {"Value": Variant("ay", b"\x01")}
    characteristic = "org.bluez.GattCharacteristic1"
    assert not door.gate.on_signal(signal(value, f"{PATH}/service1/char2", characteristic))
    added = Message.new_signal(
        "/",
        "org.freedesktop.DBus.ObjectManager",
        "InterfacesAdded",
        "oa{sa{sv}}",
        [PATH, {"org.bluez.Device1": companies(0x4C)}],
    )
    assert not door.gate.on_signal(added)
    assert door.gate.changed is None
    assert not door.gate.on_signal(signal(RSSI, "/org/bluez/hci0/dev_C0_00_00_00_00_02"))


def test_a_foreign_device_with_wanted_data_is_wanted_in_that_advertisement(door: Door) -> None:
    data = {"ManufacturerData": {0x157: b"\x01"}}
    assert door.gate.admits(PATH, properties(1, **data))
    assert door.gate.on_signal(signal(RSSI)), "this one has no data"


def test_another_interest_judges_all_devices_again(door: Door) -> None:
    door.interest.update([Match("mine", By.NAME, "Scale*")])
    assert not door.gate.on_signal(signal(RSSI))
    assert door.gate.admits(PATH, properties(Name="Scale 7"))
    assert not door.gate.on_signal(signal(RSSI))
    door.interest.update([Match("mine", By.NAME, "Scale*")])
    assert not door.gate.on_signal(signal(RSSI)), "nothing has changed"


def test_a_device_that_is_gone_is_forgotten(door: Door) -> None:
    door.gate.remove(PATH)
    assert not door.gate.on_signal(signal(RSSI))


def test_foreign_devices_without_end_are_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_MOST_FOREIGN", 10)
    door = Door()
    paths = [f"{PATH}{number}" for number in range(95)]
    for number, path in enumerate(paths):
        assert not door.gate.admits(path, properties(number))
    stopped = [path for path in paths if door.gate.on_signal(signal(RSSI, path))]
    assert stopped == paths[90:]


def test_a_device_that_shows_its_profile_only_by_its_name_is_let_through(door: Door) -> None:
    ring = Match("ring", By.SERVICE, "ff01", names=("o2ring*",))
    door.interest.update([], [ring])
    assert not door.gate.on_signal(signal(RSSI)), "not judged yet"
    assert not door.gate.admits(PATH, properties()), "its name is in the scan response"
    assert door.gate.on_signal(signal(RSSI))
    assert not door.gate.on_signal(signal({"Name": Variant("s", "O2Ring 1")} | RSSI))
    assert door.gate.admits(PATH, properties(Name="O2Ring 1"))
    assert not door.gate.on_signal(signal(RSSI)), "it is wanted from now on"
