#!/usr/bin/env bash
# bleak reports an advertisement with old data when nothing was advertised.
#
# One expects: a detection callback is called for what a device advertises, with the data of that
#   advertisement.
# What is true: with BlueZ it is called for every change of the device's object: a new alias, a bond,
#   the end of a link. The manufacturer data and service data in it are those that BlueZ remembers,
#   perhaps from minutes ago.
#
# Version: bleak 3.1.0, dbus-fast 5.2.0
# Date: 2026-11-30
# Source: bleak/backends/bluezdbus/manager.py of 3.1.0 (_parse_msg calls the callbacks after each
#   PropertiesChanged of org.bluez.Device1)
# Whom it hurts: programs that take each callback for a measurement: a scale's weight of this morning
#   comes again when a person renames the scale, and a device that is gone looks alive.
# What helps: compare the data with that of the last callback, and ask BlueZ for `DuplicateData`, with
#   which it signals the data again for each advertisement.
#
# Needs Python 3.11 or newer and dbus-daemon (a stand-in for bluetoothd runs on a bus of its own).
# Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check bleak==3.1.0 dbus-fast==5.2.0
cat >"$folder/bus.conf" <<EOF
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=$folder/bus</listen>
  <policy context="default">
    <allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>
  </policy>
</busconfig>
EOF
cat >"$folder/run.py" <<'PYTHON'
import asyncio
import sys
from importlib.metadata import version

from bleak import BleakScanner
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

ADAPTER, DEVICE = "/org/bluez/hci0", "/org/bluez/hci0/dev_02_00_5E_10_00_01"
OBJECTS = {
    ADAPTER: {
        "org.bluez.Adapter1": {
            "Address": Variant("s", "02:00:5E:10:00:00"),
            "Powered": Variant("b", True),
            "Roles": Variant("as", ["central"]),
        }
    }
}
SCALE = {
    "org.bluez.Device1": {
        "Address": Variant("s", "02:00:5E:10:00:01"),
        "Alias": Variant("s", "scale"),
        "Adapter": Variant("o", ADAPTER),
        "RSSI": Variant("n", -60),
        "ManufacturerData": Variant("a{qv}", {0x0157: Variant("ay", b"\x46\x32")}),
    }
}


async def stand_in():
    """Answer what a scanner asks of bluetoothd."""
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()

    def answer(message):
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if message.member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [OBJECTS])
        return Message.new_method_return(message)

    bus.add_message_handler(answer)
    await bus.request_name("org.bluez")
    return bus


async def main():
    print(f"bleak {version('bleak')}, dbus-fast {version('dbus-fast')}")
    bluez, seen = await stand_in(), []

    def on_advertisement(_device, data):
        seen.append(dict(data.manufacturer_data))

    async with BleakScanner(on_advertisement, bluez={"adapter": "hci0"}):
        manager = "org.freedesktop.DBus.ObjectManager"
        found = Message.new_signal("/", manager, "InterfacesAdded", "oa{sa{sv}}", [DEVICE, SCALE])
        await bluez.send(found)
        await asyncio.sleep(0.5)
        print(f"the scale advertises: {seen}")
        advertised, name = list(seen), {"Alias": Variant("s", "our scale")}
        body = ["org.bluez.Device1", name, []]
        properties = "org.freedesktop.DBus.Properties"
        renamed = Message.new_signal(DEVICE, properties, "PropertiesChanged", "sa{sv}as", body)
        await bluez.send(renamed)
        await asyncio.sleep(0.5)
        print(f"a person renames it:  {seen[len(advertised):]}")
    bluez.disconnect()
    return advertised, seen[len(advertised) :]


advertised, after = asyncio.run(main())
if len(advertised) == 1 and after == advertised:
    print("still so: a new name is an advertisement with the old data")
else:
    sys.exit("changed: a new name is no advertisement")
PYTHON
dbus-daemon --config-file="$folder/bus.conf" --nofork --nopidfile &
bus=$!
trap 'kill "$bus"; rm -rf "$folder"' EXIT
for _ in $(seq 100); do [ -S "$folder/bus" ] && break; sleep 0.1; done
DBUS_SYSTEM_BUS_ADDRESS="unix:path=$folder/bus" timeout 60 "$folder/venv/bin/python" "$folder/run.py"
