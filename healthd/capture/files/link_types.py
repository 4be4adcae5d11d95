"""The link types of pcap and pcapng that hold Bluetooth LE, by their registered numbers.

Source: https://www.tcpdump.org/linktypes.html
"""

import struct
from collections.abc import Callable

from healthd.capture.files.monitor import monitored
from healthd.capture.files.packet import Kind

Opened = tuple[int, bool | None, bytes, int]
"""The kind, the direction, the packet, and the number of the adapter."""

# The type of UART packets has no direction. Commands and events have one each.
_ONE_WAY: dict[int, bool] = {Kind.COMMAND: False, Kind.EVENT: True}

_DIRECTION = struct.Struct(">I")
_MONITOR = struct.Struct(">HH")


def _h4(data: bytes) -> Opened:
    kind = data[0]
    return kind, _ONE_WAY.get(kind), data[1:], 0


def _h4_with_direction(data: bytes) -> Opened:
    (direction,) = _DIRECTION.unpack_from(data)
    return data[4], bool(direction & 1), data[5:], 0


def _monitor(data: bytes) -> Opened:
    adapter, opcode = _MONITOR.unpack_from(data)
    kind, received = monitored(opcode)
    return kind, received, data[4:], adapter


def _as(kind: Kind) -> Callable[[bytes], Opened]:
    return lambda data: (kind, None, data, 0)


OPENERS: dict[int, Callable[[bytes], Opened]] = {
    187: _h4,
    201: _h4_with_direction,
    254: _monitor,
    251: _as(Kind.LINK_LAYER),
    256: _as(Kind.LINK_LAYER_PHDR),
    272: _as(Kind.NORDIC),
}
"""By link type, what opens a packet; it raises IndexError or struct.error if one is too short."""


def expected() -> str:
    """Return the numbers that are read, for messages."""
    return ", ".join(map(str, sorted(OPENERS)))
