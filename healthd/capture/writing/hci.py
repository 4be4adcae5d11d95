"""HCI packets of a controller's host, each with its H4 type; Core Specification, Vol 4."""

from typing import NamedTuple

from healthd.capture.writing.att import Pdu, u16

ACL, EVENT = 0x02, 0x04
"""H4 types: Vol 4, Part A, section 2."""

UNSPECIFIED_ERROR = 0x1F
"""The reason of a disconnection for which no reason is known; Vol 1, Part F, 2.31."""

_DISCONNECTION_COMPLETE, _LE_META = 0x05, 0x3E
_CONNECTION_COMPLETE = 0x01
_ATT_CHANNEL = 4

# In bits 12 and 13 of the handle: a first fragment, as a host and as a controller mark it.
_FIRST_SENT, _FIRST_RECEIVED = 0x0000, 0x2000

# The lines do not have the parameters of a connection, which an event cannot leave out. These are
# what BlueZ asks for: an interval of 30 ms, no latency, a timeout of 420 ms; and 500 ppm.
_PARAMETERS = u16(24) + u16(0) + u16(42) + b"\x00"

# The first two bits of a static random address; Vol 6, Part B, 1.3.2.1.
_STATIC = 0xC0


class Packet(NamedTuple):
    """A packet between the host and its controller.

    Attributes:
        time_us: Unix time in microseconds.
        sent: whether the host has sent it.
        data: the H4 type and the packet.
    """

    time_us: int
    sent: bool
    data: bytes


def connection_complete(handle: int, address: bytes) -> bytes:
    """Return the event of a new link to a peripheral.

    Args:
        handle: of the connection.
        address: of the peripheral; six bytes in the order in which it is written.
    """
    peer = bytes((address_type(address),)) + address[::-1]
    return le_meta(_CONNECTION_COMPLETE, b"\x00" + u16(handle) + b"\x00" + peer + _PARAMETERS)


def disconnection_complete(handle: int, reason: int) -> bytes:
    """Return the event of a link that has ended."""
    return _event(_DISCONNECTION_COMPLETE, b"\x00" + u16(handle) + bytes((reason,)))


def acl(handle: int, pdu: Pdu) -> bytes:
    """Return the packet with an ATT PDU."""
    frame = u16(len(pdu.data)) + u16(_ATT_CHANNEL) + pdu.data
    first = _FIRST_SENT if pdu.sent else _FIRST_RECEIVED
    return bytes((ACL,)) + u16(handle | first) + u16(len(frame)) + frame


def le_meta(subevent: int, parameters: bytes) -> bytes:
    """Return an event of LE."""
    return _event(_LE_META, bytes((subevent,)) + parameters)


def address_type(address: bytes) -> int:
    """Return 1 for a random address, else 0. The lines do not say it: it is guessed."""
    return int(address[0] & _STATIC == _STATIC)


def _event(code: int, parameters: bytes) -> bytes:
    return bytes((EVENT, code, len(parameters))) + parameters
