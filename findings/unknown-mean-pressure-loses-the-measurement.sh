#!/usr/bin/env bash
# bluetooth-sig refuses a whole blood pressure because the cuff does not know the mean pressure.
#
# One expects: systolic and diastolic pressure, and no mean. The profile demands all three numbers
#   and lets a device send NaN (0x07FF) for one that it does not have; many cuffs do so.
# What is true: the range check compares NaN with 0 and 300, finds it outside, and raises: nothing of
#   the measurement is returned. In the same library a pulse rate of NaN is no error.
#
# Version: bluetooth-sig 0.6.0, the newest on PyPI
# Date: 2026-11-30
# Source: https://github.com/RonanB96/bluetooth-sig-python,
#   src/bluetooth_sig/gatt/characteristics/blood_pressure_measurement.py (BloodPressureData
#   .__post_init__); Blood Pressure Service 1.1.1, section 3.1.1.1: values that are not available are
#   NaN
# Whom it hurts: readers of cuffs that show only systolic and diastolic pressure: no measurement at all.
# What helps: replace the two bytes of the mean pressure by those of the diastolic one before decoding.
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

from bluetooth_sig.gatt.characteristics import BloodPressureMeasurementCharacteristic

# 123/80 mmHg; the mean pressure is 94 in the first packet and NaN in the second.
KNOWN, UNKNOWN = "007b0050005e00", "007b005000ff07"


def read(packet):
    try:
        value = BloodPressureMeasurementCharacteristic().parse_value(bytearray.fromhex(packet))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return value


print(f"bluetooth-sig {version('bluetooth-sig')}")
known, unknown = read(KNOWN), read(UNKNOWN)
print("with a mean pressure:   ", known)
print("without a mean pressure:", unknown)
if "123" in str(known) and "mean_arterial_pressure" in str(unknown) and "Error" in str(unknown):
    print("still so: the measurement is lost")
else:
    sys.exit("changed: a measurement without a mean pressure is returned")
PYTHON
