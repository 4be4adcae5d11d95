"""pcap: the log of tcpdump, and of bumble and scapy.

Layout: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html
"""

import struct
from collections.abc import Iterator

from healthd.capture.files.link_types import OPENERS, expected
from healthd.capture.files.packet import Kind, Packet
from healthd.capture.files.records import Records
from healthd.traffic.codec import BadCapture

# Magic number: byte order, and how many fractions make a microsecond.
MAGICS: dict[bytes, tuple[str, int]] = {
    bytes.fromhex("d4c3b2a1"): ("<", 1),
    bytes.fromhex("a1b2c3d4"): (">", 1),
    bytes.fromhex("4d3cb2a1"): ("<", 1000),
    bytes.fromhex("a1b23c4d"): (">", 1000),
}

# The upper bits of the link type say whether packets end with a checksum of the link.
_LINK_TYPE = 0x0FFFFFFF


def packets(records: Records, magic: bytes) -> Iterator[Packet]:
    """Return the packets; the magic number has been read.

    Raises:
        BadCapture: the file is damaged or not of Bluetooth; the packets before are returned.
    """
    order, per_micro = MAGICS[magic]
    *_, network = struct.unpack(f"{order}HHiIII", records.take(20))
    if (opener := OPENERS.get(network & _LINK_TYPE)) is None:
        raise BadCapture("byte 20", f"link type {network}, expected one of {expected()}")
    layout = struct.Struct(f"{order}IIII")
    while records.begin():
        seconds, fraction, length, original = layout.unpack(records.take(layout.size))
        data = records.take(records.check_length(length))
        micros = seconds * 1_000_000 + fraction // per_micro
        try:
            kind, received, payload, adapter = opener(data)
        except (IndexError, struct.error):
            kind, received, payload, adapter = Kind.OTHER, None, data, 0
        cut = max(0, original - length)
        yield Packet(records.number, records.start, micros, kind, received, payload, cut, adapter)
