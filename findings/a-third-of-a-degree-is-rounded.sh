#!/usr/bin/env bash
# bthome-ble rounds temperatures in steps of 0.35 degrees to one decimal, so they no longer add up.
#
# One expects: BTHome's object 0x58 is a temperature in steps of 0.35 degrees Celsius. The raw
#   numbers 1, 3 and 5 are 0.35, 1.05 and 1.75 degrees.
# What is true: the factor has two decimals, and the result is rounded to one: 0.3, 1.0 and 1.8
#   degrees. Neighbouring steps are 0.3 or 0.4 degrees apart.
#
# Version: bthome-ble 3.25.0
# Date: 2026-11-30
# Source: https://bthome.io/format/ (table of sensor data, 0x58: sint8, factor 0.35);
#   https://github.com/Bluetooth-Devices/bthome-ble
# Whom it hurts: programs that compare its values with those of another decoder, or compute the raw
#   number from a value.
# What helps: nothing but another decoder; the raw number is not available.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check bthome-ble==3.25.0
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import time
from importlib.metadata import version
from uuid import UUID

from bthome_ble.parser import BTHomeBluetoothDeviceData
from habluetooth import BluetoothServiceInfoBleak
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

SERVICE = str(UUID("0000fcd2-0000-1000-8000-00805f9b34fb"))
ADDRESS = "02:00:5E:10:00:01"
# By the format: raw number x 0.35.
EXPECTED = {1: 0.35, 3: 1.05, 5: 1.75}


def decode(raw):
    # 0x40: version 2, not encrypted; 0x58: the temperature.
    data = {SERVICE: bytes([0x40, 0x58, raw])}
    device = BLEDevice(ADDRESS, "sensor", {})
    advertisement = AdvertisementData("sensor", {}, data, [SERVICE], None, -60, ())
    info = BluetoothServiceInfoBleak(
        "sensor", ADDRESS, -60, {}, data, [SERVICE], "local", device, advertisement, False,
        time.monotonic(), None,
    )
    values = BTHomeBluetoothDeviceData().update(info).entity_values
    return {key.key: value.native_value for key, value in values.items()}["temperature"]


print(f"bthome-ble {version('bthome-ble')}")
found = {raw: decode(raw) for raw in EXPECTED}
for raw, value in found.items():
    print(f"raw {raw}: {value} degrees, by the format {EXPECTED[raw]}")
if all(found[raw] == round(found[raw], 1) != EXPECTED[raw] for raw in EXPECTED):
    print("still so: one decimal")
else:
    sys.exit("changed: the values have more decimals")
PYTHON
