#!/usr/bin/env bash
# bluetooth-sig reads a fever of 38.5 deg C as 3.85e+129, and a saturation of 96 % as 0.00000096.
#
# One expects: a library of the Bluetooth SIG's formats reads FLOAT and SFLOAT of IEEE 11073: the
#   exponent is a signed number in two's complement, so FF 00 01 81 is 385 times 10 to the power -1.
# What is true: it reads the exponent with an offset, as IEEE 754 has it: 128 for FLOAT, 8 for SFLOAT.
#   A temperature becomes astronomical, and most blood pressures, saturations and pulse rates, whose
#   exponent is 0, become a hundred-millionth. Only the temperature has no range check; most values
#   are returned without an error. The encoders have the same offset, so a test that encodes and
#   decodes again finds nothing.
#
# Version: bluetooth-sig 0.6.0, the newest on PyPI
# Date: 2026-11-30
# Source: https://github.com/RonanB96/bluetooth-sig-python,
#   src/bluetooth_sig/gatt/characteristics/utils/ieee11073_parser.py (SFLOAT_EXPONENT_BIAS); IEEE
#   11073-20601, annex F; the examples of the Health Thermometer Service (FF 00 01 6C for 36.4)
# Whom it hurts: programs that read thermometers, cuffs, oximeters and glucose meters with it.
# What helps: decode these two formats in the program.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check bluetooth-sig==0.6.0
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import math
import sys
from importlib.metadata import version

from bluetooth_sig.gatt.characteristics import (
    BloodPressureMeasurementCharacteristic,
    PLXContinuousMeasurementCharacteristic,
    TemperatureMeasurementCharacteristic,
)

print(f"bluetooth-sig {version('bluetooth-sig')}")
temperature = TemperatureMeasurementCharacteristic().parse_value(bytearray.fromhex("00810100ff"))
pressure = BloodPressureMeasurementCharacteristic().parse_value(bytearray.fromhex("007b0050005e00"))
saturation = PLXContinuousMeasurementCharacteristic().parse_value(bytearray.fromhex("0060004800"))
found = {
    "temperature, sent 38.5 deg C": (temperature.temperature, 3.85e129),
    "systolic pressure, sent 123 mmHg": (pressure.systolic, 1.23e-6),
    "saturation, sent 96 %": (saturation.spo2, 9.6e-7),
}
for name, (value, _) in found.items():
    print(f"{name}: {value:g}")
if all(math.isclose(value, wrong) for value, wrong in found.values()):
    print("still so: exponents are wrong by 128 and by 8")
else:
    sys.exit("changed: at least one value is another one")
PYTHON
