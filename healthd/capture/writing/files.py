"""The files: btsnoop, which most tools read, and pcap, for those that read nothing else.

btsnoop: RFC 1761 with the link types and flags of Bluetooth, version 1. pcap: link type 201,
BLUETOOTH_HCI_H4_WITH_PHDR, of tcpdump.org's list.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Literal

from healthd.capture.writing.hci import ACL, Packet
from healthd.capture.writing.translation import Translation
from healthd.capture.writing.unsaid import Count
from healthd.traffic.codec import BadCapture
from healthd.traffic.lines import Line, Start

Kind = Literal["btsnoop", "pcap"]

# From midnight of year 0 to 1970: btsnoop's microseconds begin there.
_YEAR_0_US = 0x00DCDDB30F2F8000

_BTSNOOP_HEADER = struct.pack(">8sII", b"btsnoop\x00", 1, 1002)
_BTSNOOP_RECORD = struct.Struct(">IIIIq")
_RECEIVED, _COMMAND_OR_EVENT = 1, 2

# A longest packet is 65540 bytes long; this is what tcpdump writes.
_SNAPLEN = 262_144
_PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAPLEN, 201)
_PCAP_RECORD = struct.Struct("<IIII")
_DIRECTIONS = {True: bytes(4), False: b"\x00\x00\x00\x01"}


def write(lines: Iterable[Line], out: BinaryIO, kind: Kind) -> list[Count]:
    """Write lines as packets; each packet is flushed at once.

    Args:
        lines: of a capture; the first one is its start.
        out: an empty file.
        kind: of the file.

    Returns:
        What no packet can say.

    Raises:
        BadCapture: there is no start.
        OSError: the file cannot be written.
    """
    header, record = _KINDS[kind]
    source = iter(lines)
    start = next(source, None)
    if not isinstance(start, Start):
        raise BadCapture("line 1", "expected the start of a capture")
    translation = Translation(start)
    out.write(header)
    out.flush()
    for packet in _packets(translation, source):
        out.write(record(packet))
        out.flush()
    return translation.unsaid.counts


def _packets(translation: Translation, lines: Iterable[Line]) -> Iterator[Packet]:
    for line in lines:
        yield from translation.packets(line)


def _btsnoop(packet: Packet) -> bytes:
    flags = 0 if packet.sent else _RECEIVED
    if packet.data[0] != ACL:
        flags |= _COMMAND_OR_EVENT
    size = len(packet.data)
    time_us = packet.time_us + _YEAR_0_US
    return _BTSNOOP_RECORD.pack(size, size, flags, 0, time_us) + packet.data


def _pcap(packet: Packet) -> bytes:
    seconds, us = divmod(packet.time_us, 1_000_000)
    data = _DIRECTIONS[packet.sent] + packet.data
    return _PCAP_RECORD.pack(seconds, us, len(data), len(data)) + data


_KINDS: dict[Kind, tuple[bytes, Callable[[Packet], bytes]]] = {
    "btsnoop": (_BTSNOOP_HEADER, _btsnoop),
    "pcap": (_PCAP_HEADER, _pcap),
}
