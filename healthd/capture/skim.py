"""The fast way through a long log: notifications that need no more than their place and bytes."""

import struct
from collections.abc import Mapping

from healthd.capture.att.dialogue import CHANNEL
from healthd.capture.att.opcodes import NOTIFICATION
from healthd.capture.files.btsnoop import EPOCH, RECORD
from healthd.capture.files.packet import Kind
from healthd.capture.files.records import Records
from healthd.capture.value import Stream, Value

# The headers of UART, ACL and L2CAP, opcode and handle.
_HEADERS = struct.Struct("<BHHHHBH")
_VALUE_AT = RECORD.size + _HEADERS.size
# The lengths in the headers of ACL and L2CAP leave out these parts of the packet.
_BEFORE_ACL, _BEFORE_L2CAP = 5, 9
_HANDLE, _CONTINUED = 0x0FFF, 0x1000
_RECEIVED = 1

# Times of 1970 to about 2100: others are left to the slow way, which checks them.
_TIMES = range(EPOCH, EPOCH + 4_102_444_800_000_000)


def key_of(connection: int, handle: int) -> int:
    """Return the key of a stream by the handles of its connection and its characteristic."""
    return connection << 16 | handle


def skim(records: Records, streams: Mapping[int, Stream]) -> list[Value]:
    """Return the next values of these streams, up to the first record that is anything else.

    Each is a whole notification in one packet that the host received; the records are those of
    btsnoop with packets of UART.

    Args:
        records: read up to a record. Afterwards they are read up to the first one that is left.
        streams: by ``key_of``.
    """
    block, at = records.block, records.at
    end, number = len(block), records.number
    found: list[Value] = []
    if not streams:
        return found
    record, headers, get, add = RECORD.unpack_from, _HEADERS.unpack_from, streams.get, found.append
    last = end - _VALUE_AT
    times, dropped = _TIMES, records.dropped
    while at <= last:
        original, length, flags, drops, time = record(block, at)
        kind, first, size, frame, channel, opcode, handle = headers(block, at + 24)
        after = at + 24 + length
        if (
            opcode != NOTIFICATION
            or kind != Kind.ACL
            or channel != CHANNEL
            or first & _CONTINUED
            or size != length - _BEFORE_ACL
            or frame != length - _BEFORE_L2CAP
            or original != length
            or flags != _RECEIVED
            or drops != dropped
            or after > end
            or time not in times
        ):
            break
        stream = get((first & _HANDLE) << 16 | handle)
        if stream is None:
            break
        add(Value(time - EPOCH, block[at + _VALUE_AT : after], stream))
        number += 1
        at = after
    if found:
        records.skip_to(at, number)
    return found
