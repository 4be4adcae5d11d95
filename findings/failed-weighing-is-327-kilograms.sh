#!/usr/bin/env bash
# bluetooth-sig returns a weight of 327.675 kg for a weighing that failed.
#
# One expects: no weight, as there is none for a heart rate of a rower that measures none. The
#   specifications reserve a number of each format for "not available".
# What is true: the reserved numbers are returned as measurements: 327.675 kg from a scale on which
#   the user moved, 65535 kcal from a bike without a calorie counter, 3276.7 % from a treadmill
#   without an incline.
#
# Version: bluetooth-sig 0.6.0, the newest on PyPI
# Date: 2026-11-30
# Source: https://github.com/RonanB96/bluetooth-sig-python, src/bluetooth_sig/gatt/characteristics/;
#   Weight Scale Service 1.0, section 3.2.1.2: 0xFFFF is "Measurement Unsuccessful"; GATT
#   Specification Supplement, Indoor Bike Data and Treadmill Data: 0xFFFF and 0x7FFF are "data not
#   available"
# Whom it hurts: programs that store or show what it returns: one failed weighing spoils the diagram
#   and the average of a month.
# What helps: compare the raw bytes with the reserved numbers before decoding.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check bluetooth-sig==0.6.0
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from bluetooth_sig.gatt.characteristics import (
    IndoorBikeDataCharacteristic,
    TreadmillDataCharacteristic,
    WeightMeasurementCharacteristic,
)

print(f"bluetooth-sig {version('bluetooth-sig')}")
# Kilograms, and a weight that could not be measured.
weight = WeightMeasurementCharacteristic().parse_value(bytearray.fromhex("00ffff")).weight
# No speed, but the three energies: none of them is counted.
bike = IndoorBikeDataCharacteristic().parse_value(bytearray.fromhex("0101ffffffffff"))
# 4 km/h, inclination and ramp angle not available.
treadmill = TreadmillDataCharacteristic().parse_value(bytearray.fromhex("08009001ff7fff7f"))
print(f"a failed weighing: {weight} kg")
print(f"energy that is not counted: {bike.total_energy} kcal")
print(f"inclination of a treadmill without an incline: {treadmill.inclination} %")
if (weight, bike.total_energy, treadmill.inclination) == (327.675, 65535, 3276.7):
    print("still so: what is not available is a number")
else:
    sys.exit("changed: at least one value is another one")
PYTHON
