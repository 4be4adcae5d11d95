#!/usr/bin/env bash
# tshark has no btatt.value for a heart rate, once it has seen that it is one.
#
# One expects: `-e btatt.value` prints the bytes of each notification; many guides to HCI logs do this.
# What is true: it does so only for characteristics that tshark does not know. If the log has the
#   discovery, the bytes of a known one are in fields of their own, such as
#   btatt.heart_rate_measurement.value.8, and btatt.value is empty; `-Y btatt.value` leaves them out.
#
# Version: tshark 4.0.17, that of Debian 12
# Date: 2026-12-01
# Source: found by trial. https://www.wireshark.org/docs/dfref/b/btatt.html lists both fields, and not
#   when which of them is there
# Whom it hurts: scripts that extract values: the same script prints all values of a log that began
#   late, and none of one that began in time.
# What helps: `tshark --disable-protocol btatt`, and btl2cap.payload, which is the whole ATT packet.
#
# Needs Python 3.11 or newer and tshark. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 - "$folder" <<'PYTHON'
import struct
import sys
from pathlib import Path

LINK = 0x0040
SENT, RECEIVED = 0, 1


def acl(pdu):
    data = struct.pack("<HH", len(pdu), 4) + pdu
    return bytes([2]) + struct.pack("<HH", LINK | 0x2000, len(data)) + data


discovery = [
    (SENT, acl(struct.pack("<BHHH", 0x10, 1, 0xFFFF, 0x2800))),
    (RECEIVED, acl(struct.pack("<BBHHH", 0x11, 6, 0x0E, 0x20, 0x180D))),
    (SENT, acl(struct.pack("<BHHH", 0x08, 0x0E, 0x20, 0x2803))),
    (RECEIVED, acl(struct.pack("<BBHBHH", 0x09, 7, 0x0F, 0x10, 0x10, 0x2A37))),
]
values = [(RECEIVED, acl(bytes([0x1B, 0x10, 0, 0, rate]))) for rate in (70, 71, 72)]
for name, packets in {"whole": discovery + values, "late": values}.items():
    file = b"btsnoop\0" + struct.pack(">II", 1, 1002)
    for number, (flags, packet) in enumerate(packets):
        time = 0x00E03AB44A676000 + 800_000_000_000_000 + 1000 * number
        file += struct.pack(">IIIIQ", len(packet), len(packet), flags, 0, time) + packet
    Path(sys.argv[1], name).write_bytes(file)
PYTHON
tshark --version 2>/dev/null | head -n 1
values() {
    timeout 60 tshark -r "$folder/$1" -Y 'btatt.opcode == 0x1b' -T fields -e btatt.value \
        2>/dev/null | tr '\n' ' ' | tr -s ' '
}
echo "log without discovery: '$(values late)'"
echo "log with discovery:    '$(values whole)'"
if [ "$(values late)" = "0046 0047 0048 " ] && [ "$(values whole)" = " " ]; then
    echo "still so: what tshark knows has no btatt.value"
else
    echo "changed: expected three values, and none"
    exit 1
fi
