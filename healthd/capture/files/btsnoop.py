"""btsnoop: the log of Android, of btmon and of bumble.

Layout: RFC 1761 with the numbers of Bluetooth; of the monitor: BlueZ, src/shared/btsnoop.h.
"""

import struct
from collections.abc import Callable, Iterator

from healthd.capture.files.monitor import monitored
from healthd.capture.files.packet import Kind, Packet
from healthd.capture.files.records import Records
from healthd.traffic.codec import BadCapture

MAGIC = b"btsnoop\0"

_VERSION = 1
_UNENCAPSULATED, UART, MONITOR = 1001, 1002, 2001

_HEADER = struct.Struct(">II")
RECORD = struct.Struct(">IIIIQ")
"""Original and kept length, flags, packets lost so far, microseconds since the year 0."""


EPOCH = 0x00DCDDB30F2F8000
"""1970 in microseconds since the year 0, as btsnoop counts them."""

# Flags of 1001 and 1002.
_RECEIVED, _COMMAND_OR_EVENT = 1, 2

# (original length, flags, microseconds, data, dropped so far) -> a packet
_Make = Callable[[Records, int, int, int, bytes, int], Packet]


def open_log(records: Records) -> tuple[int, Iterator[Packet]]:
    """Return the type of the log and its packets; the magic number has been read.

    The packets raise BadCapture where the file is damaged.

    Raises:
        BadCapture: the file has another layout.
    """
    version, link_type = _HEADER.unpack(records.take(_HEADER.size))
    if version != _VERSION:
        raise BadCapture("byte 8", f"btsnoop version {version}, expected {_VERSION}")
    makers: dict[int, _Make] = {_UNENCAPSULATED: _plain, UART: _h4, MONITOR: _monitor}
    if (make := makers.get(link_type)) is None:
        expected = ", ".join(map(str, makers))
        raise BadCapture("byte 12", f"btsnoop of type {link_type}, expected one of {expected}")
    return link_type, _packets(records, make)


def _packets(records: Records, make: _Make) -> Iterator[Packet]:
    while records.begin():
        original, length, flags, dropped, time = RECORD.unpack(records.take(RECORD.size))
        if length > original:
            raise records.bad(f"{length} bytes of a packet that has {original}")
        data = records.take(records.check_length(length))
        before, records.dropped = records.dropped, dropped
        yield make(records, original, flags, time - EPOCH, data, max(0, dropped - before))


def _plain(
    records: Records, original: int, flags: int, micros: int, data: bytes, drops: int
) -> Packet:
    received = bool(flags & _RECEIVED)
    kind = (Kind.EVENT if received else Kind.COMMAND) if flags & _COMMAND_OR_EVENT else Kind.ACL
    return Packet(
        records.number, records.start, micros, kind, received, data, original - len(data), 0, drops
    )


def _h4(
    records: Records, original: int, flags: int, micros: int, data: bytes, drops: int
) -> Packet:
    return Packet(
        records.number,
        records.start,
        micros,
        data[0] if data else Kind.OTHER,
        bool(flags & _RECEIVED),
        data[1:],
        original - len(data),
        0,
        drops,
    )


def _monitor(
    records: Records, original: int, flags: int, micros: int, data: bytes, drops: int
) -> Packet:
    kind, received = monitored(flags & 0xFFFF)
    return Packet(
        records.number,
        records.start,
        micros,
        kind,
        received,
        data,
        original - len(data),
        flags >> 16,
        drops,
    )
