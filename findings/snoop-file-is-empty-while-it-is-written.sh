#!/usr/bin/env bash
# bumble's btsnoop file is empty while packets are written, and the last ones are lost if it is killed.
#
# One expects: a log of HCI packets can be read while the program runs, and has the packets before a
#   crash: that is what it is for. bumble's other snooper, pcapsnoop, does so.
# What is true: the file is buffered and never flushed. It has 0 bytes until some kilobytes, a hundred
#   short packets or more, are together, and ends in the middle of a packet if the program is killed.
#
# Version: bumble 0.0.236
# Date: 2026-12-01
# Source: bumble/snoop.py of 0.0.236: create_snooper opens the file without buffering=0, and
#   BtSnooper.snoop has no flush; PcapSnooper.snoop has one, "for live logging"
# Whom it hurts: who follows a log with Wireshark or tail, and who needs the log of a test that hung
#   or was killed: the interesting end is missing.
# What helps: BtSnooper(open(file, "wb", buffering=0)) in place of create_snooper, or pcapsnoop.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check bumble==0.0.236
cd "$folder"
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

from bumble.snoop import Snooper, create_snooper

# A heart rate: ACL data of link 0x0040, L2CAP, ATT notification.
PACKET = bytes.fromhex("0240200900050004001b10000048")
PACKETS = 100

print(f"bumble {version('bumble')}")
sizes = {}
for kind in ("btsnoop", "pcapsnoop"):
    with create_snooper(f"{kind}:file:{kind}.log") as snooper:
        for _ in range(PACKETS):
            snooper.snoop(PACKET, Snooper.Direction.CONTROLLER_TO_HOST)
        sizes[kind] = Path(f"{kind}.log").stat().st_size
    print(f"{kind} after {PACKETS} packets: {sizes[kind]} bytes, when closed:"
          f" {Path(f'{kind}.log').stat().st_size}")
if sizes["btsnoop"] == 0 < sizes["pcapsnoop"]:
    print("still so: the btsnoop file is empty while it is written")
else:
    sys.exit("changed: packets are written at once")
PYTHON
