#!/usr/bin/env bash
# btsnoop-parser moves the packets of a log by 378 days, depending on when the file was copied.
#
# One expects: the times of packets are in the file, and are the same for each program, on each day.
# What is true: it counts from the wrong day: its times are 378 days late. It takes that for a fault
#   of "some Android versions", and subtracts 378 days if the first packet would be younger than the
#   file itself. So a fresh log is right, and the same log is 378 days late if the file was copied,
#   unpacked or cloned more than 378 days after the recording.
#
# Version: btsnoop-parser 0.10.0, the newest on PyPI
# Date: 2026-12-01
# Source: btsnoop_parser/core.py of 0.10.0 (BTSNOOP_EPOCH_DELTA_US = 62135596800000000, and
#   _needs_android_offset_fix). BlueZ (src/shared/btsnoop.c) and bumble (snoop.py): midnight of
#   2000-01-01 UTC is 0x00E03AB44A676000, so 1970-01-01 is 62168256000000000
# Whom it hurts: who compares a log with other logs: everything is 378 days apart, or not, depending
#   on the computer.
# What helps: pass `reference_time` of the recording's own time, not that of the file; or subtract
#   378 days from times that a second program, such as tshark, shows earlier.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check btsnoop-parser==0.10.0
cd "$folder"
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import os
import struct
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from btsnoop_parser import parse_btsnoop_file

RECORDED = datetime(2024, 6, 1, 12, tzinfo=UTC)
# Both as BlueZ and bumble define the format.
ANCHOR, ANCHOR_US = datetime(2000, 1, 1, tzinfo=UTC), 0x00E03AB44A676000
PACKET = bytes.fromhex("0240200900050004001b10000048")

time = ANCHOR_US + (RECORDED - ANCHOR) // timedelta(microseconds=1)
file = Path("hci.btsnoop")
file.write_bytes(
    b"btsnoop\0"
    + struct.pack(">II", 1, 1002)
    + struct.pack(">IIIIQ", len(PACKET), len(PACKET), 1, 0, time)
    + PACKET
)


def read(file_is_from):
    os.utime(file, (file_is_from.timestamp(), file_is_from.timestamp()))
    return parse_btsnoop_file(file)[0]["timestamp"]


print(f"btsnoop-parser {version('btsnoop-parser')}, recorded at {RECORDED}")
fresh = read(RECORDED + timedelta(minutes=1))
copied = read(RECORDED + timedelta(days=730))
print(f"file of the same day:     {fresh}")
print(f"file copied 2 years later: {copied}")
if fresh == RECORDED and copied == RECORDED + timedelta(days=378):
    print("still so: the same bytes are read as two times")
else:
    sys.exit("changed: expected the time of the recording, and 378 days later")
PYTHON
