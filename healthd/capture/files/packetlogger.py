"""Apple's PacketLogger: the log of iOS and macOS.

Layout: Wireshark, wiretap/packetlogger.c. A record has its length, seconds and microseconds since
1970, and what it is; older versions of macOS wrote the other byte order.
"""

import struct
from collections.abc import Iterator

from healthd.capture.files.packet import Kind, Packet
from healthd.capture.files.records import LONGEST_PACKET, Records

_KINDS: dict[int, tuple[Kind, bool]] = {
    0x00: (Kind.COMMAND, False),
    0x01: (Kind.EVENT, True),
    0x02: (Kind.ACL, False),
    0x03: (Kind.ACL, True),
    0x08: (Kind.SCO, False),
    0x09: (Kind.SCO, True),
}

# The highest number that Wireshark knows: notes of the system are F7 to FF.
_NOTES_FROM = 0xF7
_MICROS = 1_000_000
_TIME_AND_KIND = 9

_LITTLE, _BIG = struct.Struct("<IIIB"), struct.Struct(">IIIB")
SIZE = _LITTLE.size


def order(beginning: bytes) -> struct.Struct | None:
    """Return how the records are written, or None if a file does not begin with a record."""
    if len(beginning) < SIZE:
        return None
    for layout in (_LITTLE, _BIG):
        length, _, micros, kind = layout.unpack_from(beginning)
        known = kind in _KINDS or kind >= _NOTES_FROM or kind in (0x0A, 0x0B)
        if _TIME_AND_KIND <= length <= LONGEST_PACKET and micros < _MICROS and known:
            return layout
    return None


def packets(records: Records, layout: struct.Struct) -> Iterator[Packet]:
    """Return the packets.

    Raises:
        BadCapture: the file is damaged; the packets before are returned.
    """
    while records.begin():
        length, seconds, micros, number = layout.unpack(records.take(SIZE))
        if length < _TIME_AND_KIND:
            raise records.bad(f"a length of {length} bytes, expected at least {_TIME_AND_KIND}")
        data = records.take(records.check_length(length - _TIME_AND_KIND))
        kind, received = _KINDS.get(number, (Kind.OTHER, None))
        time = seconds * _MICROS + micros
        yield Packet(records.number, records.start, time, kind, received, data)
