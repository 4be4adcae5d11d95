#!/usr/bin/env bash
# pycycling reads a negative power as more than 65 kW.
#
# One expects: `instantaneous_power` of -10 W where the legs brake the pedals, as on a fixed gear or
#   when a rider stops pedalling on a direct-drive trainer.
# What is true: 65526 W. The power is a signed number (s16) in Cycling Power Measurement; pycycling
#   reads it, and the extremes of force and torque, as unsigned ones. Its parser of Indoor Bike Data
#   reads the power as signed.
#
# Version: pycycling 0.4.1, the newest on PyPI
# Date: 2026-11-30
# Source: https://github.com/zacharyedwardbull/pycycling, pycycling/cycling_power_service.py
#   (int.from_bytes without signed=True); GATT Specification Supplement, Cycling Power Measurement:
#   Instantaneous Power is sint16
# Whom it hurts: averages, energy and records of a ride: one such value among 3600 adds 18 W to the
#   average of an hour.
# What helps: subtract 65536 from values above 32767.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycycling==0.4.1
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import struct
import sys
from importlib.metadata import version

from pycycling.cycling_power_service import CyclingPowerService
from pycycling.ftms_parsers import parse_indoor_bike_data

SENT_W = -10


class Meter:
    """What pycycling uses of a bleak client: the registration of a callback."""

    async def start_notify(self, uuid, notify):
        self.notify = notify


async def main():
    meter, found = Meter(), []
    service = CyclingPowerService(meter)
    service.set_cycling_power_measurement_handler(found.append)
    await service.enable_cycling_power_measurement_notifications()
    # No flags: the power alone.
    meter.notify(None, bytearray(struct.pack("<Hh", 0, SENT_W)))
    # More data, and the power: bits 0 and 6.
    bike = parse_indoor_bike_data(struct.pack("<Hh", 0x41, SENT_W))
    return found[0].instantaneous_power, bike.instant_power


print(f"pycycling {version('pycycling')}")
meter_w, bike_w = asyncio.run(main())
print(f"sent {SENT_W} W; read from a power meter {meter_w} W, from a bike {bike_w} W")
if (meter_w, bike_w) == (SENT_W + 65536, SENT_W):
    print("still so: a power meter's negative power is read as a huge one")
else:
    sys.exit("changed: both are read as the same")
PYTHON
