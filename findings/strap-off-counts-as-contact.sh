#!/usr/bin/env bash
# pycycling says that a heart-rate strap has skin contact although it says that it has none.
#
# One expects: `sensor_contact` is what the strap reports: whether it touches the skin.
# What is true: it is also True for a strap that has just been taken off. Of the two flags, bit 2
#   says that the strap can detect contact, bit 1 that it does; pycycling asks whether either is set.
#   So for straps that can detect contact, which most can, it is always True.
#
# Version: pycycling 0.4.1, the newest on PyPI
# Date: 2026-11-30
# Source: https://github.com/zacharyedwardbull/pycycling, pycycling/heart_rate_service.py
#   (is_contact_detected_mask = 0x06); Heart Rate Service 1.0, section 3.1.1.1.2: 0x06 is "supported
#   and detected", 0x04 "supported, but not detected"
# Whom it hurts: programs that pause a session, or drop values, when the strap is off: they keep the
#   last or invented heart rates of a strap on the table.
# What helps: read the flags in the program: `flags & 0x06 == 0x06`.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycycling==0.4.1
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import sys
from importlib.metadata import version

from pycycling.heart_rate_service import HeartRateService

PACKETS = {
    "contact supported and detected": "0648",
    "contact supported, not detected": "0400",
    "contact not supported": "0048",
}


class Strap:
    """What pycycling uses of a bleak client: the registration of a callback."""

    async def start_notify(self, uuid, notify):
        self.notify = notify


async def main():
    strap, found = Strap(), []
    service = HeartRateService(strap)
    service.set_hr_measurement_handler(found.append)
    await service.enable_hr_measurement_notifications()
    for name, packet in PACKETS.items():
        strap.notify(None, bytearray.fromhex(packet))
        print(f"{name}: sensor_contact is {found[-1].sensor_contact}")
    return [one.sensor_contact for one in found]


print(f"pycycling {version('pycycling')}")
if asyncio.run(main()) == [True, True, False]:
    print("still so: a strap without contact counts as one with contact")
else:
    sys.exit("changed: contact is what the strap reports")
PYTHON
