#!/usr/bin/env bash
# pycycling ends each command to a Tacx trainer with a sum, where ANT messages end with an XOR.
#
# One expects: FE-C over Bluetooth carries ANT messages, so the last byte of a frame is the XOR of all
#   bytes before it. The frames that Tacx trainers send have it.
# What is true: pycycling takes the sum of all bytes but the first, modulo 256. Trainers obey
#   nevertheless, because they do not check what they get.
#
# Version: pycycling 0.4.1
# Date: 2026-11-30
# Source: a received frame: tests of https://github.com/incyclist/devices; the checksum: ANT
#   Message Protocol and Usage, section "Message Structure", and
#   https://github.com/JuergenLeber/SHIFTR, which computes the XOR
# Whom it hurts: who writes a bridge or a virtual trainer that checks frames, tries it with pycycling and
#   finds that each command is damaged; and who copies the sum and meets a trainer that does check.
# What helps: send the XOR; accept both from others, or do not check.
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
from functools import reduce
from importlib.metadata import version
from operator import xor

from pycycling.tacx_trainer_control import TacxTrainerControl

# Page 25, as a trainer sends it: 90/min, 250 W.
RECEIVED = bytes.fromhex("a4094e0519015a1027fa003059")


class Client:
    """Keeps what is written."""

    async def write_gatt_char(self, _uuid, frame):
        self.frame = bytes(frame)


client = Client()
asyncio.run(TacxTrainerControl(client).set_target_power(200))
print(f"pycycling {version('pycycling')}")
for name, frame in (("from a trainer", RECEIVED), ("200 W by pycycling", client.frame)):
    sums = f"XOR {reduce(xor, frame[:-1]):02x}, sum {sum(frame[1:-1]) & 0xFF:02x}"
    print(f"{name}: {frame.hex()}: checksum {frame[-1]:02x}; {sums}")
if reduce(xor, RECEIVED) == 0 and client.frame[-1] == sum(client.frame[1:-1]) & 0xFF != reduce(
    xor, client.frame[:-1]
):
    print("still so: pycycling sends a sum")
else:
    sys.exit("changed: pycycling sends an XOR")
PYTHON
