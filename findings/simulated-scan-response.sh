#!/usr/bin/env bash
# bumble's virtual radio invents scan responses, and never delivers the real ones.
#
# One expects: as with a real radio, a passive scan gets advertisements only. An active scan also
#   gets the scan response that the peripheral has set, which often holds its name.
# What is true: after every advertisement, the virtual controller reports the same bytes again, as a
#   scan response, in passive scans, too. The Device that scans joins the two, so that it emits each
#   advertisement twice, the second time with every field doubled. The bytes that the peripheral has
#   set as its scan response never arrive.
#
# Version: bumble 0.0.236
# Date: 2026-11-30
# Source: bumble/controller.py of 0.0.236 (Controller.on_advertising_pdu: both reports get
#   pdu.data, and depend on le_scan_enable only); bumble/device.py (AdvertisementDataAccumulator).
#   Passive scans on a real radio send no scan request:
#   https://onlinedocs.microchip.com/oxy/GUID-C5EAF60E-9124-427C-A0F1-F2DBE662EA92-en-US-4/GUID-2277ED94-D2E1-459D-8EEF-70DAAB3A5369.html
# Whom it hurts: tests on a virtual radio. Counts and rates of advertisements are doubled, and a
#   name that is only in the scan response is never seen.
# What helps: ignore advertisements with is_scan_response, and advertise the name itself.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check bumble==0.0.236
timeout 30 "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import sys
from importlib.metadata import version

from bumble.controller import Controller
from bumble.core import AdvertisingData
from bumble.device import Device, DeviceConfiguration
from bumble.hci import Address
from bumble.host import Host
from bumble.link import LocalLink

# What the peripheral sets: the heart rate service (0x180D), and its name as scan response.
SERVICES = AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS
ADVERTISEMENT = bytes(AdvertisingData([(SERVICES, b"\x0d\x18")]))
SCAN_RESPONSE = bytes(AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, b"Strap")]))


async def power_on(name, address, radio):
    controller = Controller(name, link=radio)
    device = Device(
        config=DeviceConfiguration(name=name, address=Address(address)),
        host=Host(controller_source=controller, controller_sink=controller),
    )
    await device.power_on()
    return device


async def scan(central, active):
    """Return the first six advertisements: whether each is a scan response, and its bytes."""
    seen = []
    enough = asyncio.Event()

    def on_advertisement(advertisement):
        seen.append((advertisement.is_scan_response, bytes(advertisement.data)))
        if len(seen) == 6:
            enough.set()

    central.on(central.EVENT_ADVERTISEMENT, on_advertisement)
    await central.start_scanning(active=active)
    await asyncio.wait_for(enough.wait(), 10)
    await central.stop_scanning()
    central.remove_listener(central.EVENT_ADVERTISEMENT, on_advertisement)
    return seen[:6]


async def main():
    print(f"bumble {version('bumble')}")
    print(f"peripheral: advertisement {ADVERTISEMENT.hex()}, scan response {SCAN_RESPONSE.hex()}")
    radio = LocalLink()
    peripheral = await power_on("Strap", "C0:00:00:00:00:01", radio)
    central = await power_on("central", "C0:00:00:00:00:02", radio)
    await peripheral.start_advertising(
        advertising_data=ADVERTISEMENT,
        scan_response_data=SCAN_RESPONSE,
        advertising_interval_min=100,
        advertising_interval_max=100,
    )
    still_so = True
    for active in (False, True):
        seen = await scan(central, active)
        print(f"{'active' if active else 'passive'} scan:")
        for response, data in seen[:2]:
            print(f"  is_scan_response={response}: {data.hex()}")
        responses = {data for response, data in seen if response}
        still_so &= responses == {ADVERTISEMENT * 2}
        still_so &= not any(SCAN_RESPONSE in data for _, data in seen)
    await peripheral.stop_advertising()
    return still_so


if asyncio.run(main()):
    print("still so: the scan responses are the advertisements, repeated")
else:
    sys.exit("changed: the scan responses are no longer the advertisements, repeated")
PYTHON
