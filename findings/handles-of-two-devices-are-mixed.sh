#!/usr/bin/env bash
# tshark shows the heart rate of a strap as a feature of the fitness machine that is linked, too.
#
# One expects: handles belong to a connection. If a strap has its heart rate at handle 0x0010, and a
#   machine has its features at the same handle, a notification of the strap is a heart rate.
# What is true: tshark keeps one table of handles for all connections of an adapter. What was
#   discovered last counts, on whichever connection: the strap's heart rates become
#   "Fitness Machine Feature" (0x2acc) without a warning, and longer ones "Malformed Packet".
#
# Version: tshark 4.0.17, that of Debian 12
# Date: 2026-12-01
# Source: found by trial. Core 5.4, volume 3, part F, section 3.2.2: an attribute handle identifies
#   an attribute on one server.
# Whom it hurts: people who read a phone's or a gateway's log of several devices: simple devices have
#   their first characteristic at about the same handle.
# What helps: filter by handle and connection, and look up the UUID in the discovery of that
#   connection: `bthci_acl.chandle == 0x0040`. Do not filter by btatt.uuid16.
#
# Needs Python 3.11 or newer and tshark. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 - "$folder/two.btsnoop" <<'PYTHON'
import struct
import sys
from pathlib import Path

STRAP, MACHINE = 0x0040, 0x0041
SENT, RECEIVED, NOT_DATA = 0, 1, 2


def acl(link, pdu):
    data = struct.pack("<HH", len(pdu), 4) + pdu
    return bytes([2]) + struct.pack("<HH", link | 0x2000, len(data)) + data


def connected(link, address):
    body = struct.pack("<BBHBB", 1, 0, link, 0, 1) + address + struct.pack("<HHHB", 24, 0, 72, 0)
    return bytes([4, 0x3E, len(body)]) + body


def discovery(link, service, characteristic):
    yield SENT, acl(link, struct.pack("<BHHH", 0x10, 1, 0xFFFF, 0x2800))
    yield RECEIVED, acl(link, struct.pack("<BBHHH", 0x11, 6, 0x0E, 0x20, service))
    yield SENT, acl(link, struct.pack("<BHHH", 0x08, 0x0E, 0x20, 0x2803))
    # Notifies; its value is at 0x0010.
    yield RECEIVED, acl(link, struct.pack("<BBHBHH", 0x09, 7, 0x0F, 0x10, 0x10, characteristic))


packets = [
    (RECEIVED | NOT_DATA, connected(STRAP, bytes.fromhex("0100005e5ec0"))),
    (RECEIVED | NOT_DATA, connected(MACHINE, bytes.fromhex("0200005e5ec0"))),
    *discovery(STRAP, 0x180D, 0x2A37),
    *discovery(MACHINE, 0x1826, 0x2ACC),
    *((RECEIVED, acl(STRAP, bytes([0x1B, 0x10, 0, 0, rate]))) for rate in (70, 71, 72)),
]
file = b"btsnoop\0" + struct.pack(">II", 1, 1002)
for number, (flags, packet) in enumerate(packets):
    time = 0x00E03AB44A676000 + 800_000_000_000_000 + 1000 * number
    file += struct.pack(">IIIIQ", len(packet), len(packet), flags, 0, time) + packet
Path(sys.argv[1]).write_bytes(file)
PYTHON
tshark --version 2>/dev/null | head -n 1
found=$(timeout 60 tshark -r "$folder/two.btsnoop" -Y 'btatt.opcode == 0x1b' \
    -T fields -e bthci_acl.chandle -e btatt.uuid16 2>/dev/null)
echo "$found"
if [ "$(echo "$found" | sort -u)" = $'0x0040\t0x2acc' ]; then
    echo "still so: notifications of the strap (0x0040) have the UUID of the machine (0x2acc)"
else
    echo "changed: expected 0x2acc on connection 0x0040"
    exit 1
fi
