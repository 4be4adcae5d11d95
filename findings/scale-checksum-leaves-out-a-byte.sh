#!/usr/bin/env bash
# okokscale refuses real weighings of OKOK scales, because its checksum leaves out the last byte.
#
# One expects: the manufacturer data of company 0x20CA has a checksum at offset 12, the XOR of 0x20
#   and of the twelve bytes before it. A packet of a real scale (53.1 kg, 600 ohm) has it.
# What is true: okokscale takes only eleven bytes, so it refuses that packet as damaged. It accepts
#   the same packet with the byte c9 in place of b9, which no scale has sent; so does its own test.
#
# Version: okokscale 0.0.4
# Date: 2026-11-30
# Source: the packet: https://github.com/rrooggiieerr/homeassistant-okokscale/pull/12 (the address at
#   its end is replaced here; it does not count for the checksum); the range of the checksum:
#   OkOkHandler of https://github.com/oliexdev/openScale
# Whom it hurts: owners of such a scale in Home Assistant: it is found, and never shows a weight.
# What helps: take the byte at offset 11 into the checksum.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# okokscale 0.0.4 does not list the second package among its dependencies.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    okokscale==0.0.4 home-assistant-bluetooth==2.0.0
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys
from functools import reduce
from importlib.metadata import version
from operator import xor

from okokscale.parser import OKOKScaleBluetoothDeviceData

logging.disable(logging.CRITICAL)
COMPANY = 0x20CA
REAL = bytes.fromhex("0b41af2f8101051b14be1770b902005e100001")


def weight(data):
    """Return the weight that okokscale finds, or None."""
    parser = OKOKScaleBluetoothDeviceData()
    parser.process_manufacturer_data({COMPANY: data})
    values = parser._finish_update().entity_values
    found = [value.native_value for key, value in values.items() if key.key == "mass"]
    return found[0] if found else None


print(f"okokscale {version('okokscale')}")
whole, short = (reduce(xor, REAL[:end], 0x20) for end in (12, 11))
print(f"checksum of the packet {REAL[12]:02x}; XOR of 12 bytes {whole:02x}, of 11 bytes {short:02x}")
changed = REAL[:12] + bytes([short]) + REAL[13:]
print(f"the real packet: {weight(REAL)}")
print(f"with {short:02x} in place of {REAL[12]:02x}: {weight(changed)}")
if REAL[12] == whole and weight(REAL) is None and weight(changed) is not None:
    print("still so: the real packet is refused")
else:
    sys.exit("changed: the real packet is accepted")
PYTHON
