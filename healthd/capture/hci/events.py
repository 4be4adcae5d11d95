"""The events of HCI that are about links and advertisements.

Layouts: Core Specification, Vol 4, Part E, sections 7.7.3, 7.7.5 and 7.7.65.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

_CLASSIC_CONNECTED, _DISCONNECTED, _LE = 0x03, 0x05, 0x3E
# Connection complete; enhanced; enhanced, version 2.
_CONNECTED = frozenset((0x01, 0x0A, 0x29))
_REPORT, _EXTENDED_REPORT = 0x02, 0x0D

_LINK = struct.Struct("<BHBB6s")
_EXTENDED = struct.Struct("<HB6sBBBbbHB6sB")

# Bits 5 and 6 of the type of an extended report: more data follows.
_DATA_STATUS, _MORE = 0x60, 0x20

# RSSI is not available.
_NO_RSSI = 127

PERIPHERAL = 1
"""The role of the host in a link: it is the peripheral."""

# An advertisement in several reports; more than this many are never open at once.
_MOST_OPEN = 256
# Extended advertising ends at this size (Core Specification, Vol 6, Part B, section 2.3.4.9).
_MOST_DATA = 1650


class LinkMade(NamedTuple):
    """A link was made, or failed: then the status is not 0."""

    status: int
    handle: int
    role: int
    address: str


class LinkEnded(NamedTuple):
    """A link ended."""

    handle: int
    reason: int


class ClassicLink(NamedTuple):
    """A link of Bluetooth Classic was made."""

    handle: int


class Report(NamedTuple):
    """An advertisement; ``rssi_dbm`` is None if it is not known."""

    address: str
    data: bytes
    rssi_dbm: int | None


Event = LinkMade | LinkEnded | ClassicLink | Report


def address_text(raw: bytes) -> str:
    """Return an address of six bytes, the last one first, as text."""
    return raw[::-1].hex(":").upper()


class Events:
    """Reads events. Advertisements may be spread over several of them."""

    def __init__(self) -> None:
        """Start without open advertisements."""
        self._open: dict[tuple[str, int], bytes] = {}

    def read(self, data: bytes) -> Iterator[Event]:
        """Return what an event says, as far as it is about links and advertisements.

        Raises:
            IndexError, struct.error: the event is too short.
        """
        code, parameters = data[0], data[2:]
        if code == _LE:
            yield from self._le(parameters[0], parameters[1:])
        elif code == _DISCONNECTED:
            status, handle, reason = struct.unpack_from("<BHB", parameters)
            if status == 0:
                yield LinkEnded(handle, reason)
        elif code == _CLASSIC_CONNECTED:
            status, handle = struct.unpack_from("<BH", parameters)
            if status == 0:
                yield ClassicLink(handle)

    def _le(self, subevent: int, data: bytes) -> Iterator[Event]:
        if subevent in _CONNECTED:
            status, handle, role, _, address = _LINK.unpack_from(data)
            yield LinkMade(status, handle, role, address_text(address))
        elif subevent == _REPORT:
            yield from _reports(data)
        elif subevent == _EXTENDED_REPORT:
            yield from self._extended(data)

    def _extended(self, data: bytes) -> Iterator[Report]:
        at = 1
        for _ in range(data[0]):
            kind, _, raw, _, _, sid, _, rssi, _, _, _, size = _EXTENDED.unpack_from(data, at)
            at += _EXTENDED.size
            part = data[at : at + size]
            if len(part) < size:
                raise IndexError
            at += size
            address = address_text(raw)
            whole = self._open.pop((address, sid), b"") + part
            if kind & _DATA_STATUS == _MORE and len(whole) <= _MOST_DATA:
                if len(self._open) >= _MOST_OPEN:
                    self._open.clear()
                self._open[address, sid] = whole
            else:
                yield Report(address, whole, None if rssi == _NO_RSSI else rssi)


def _reports(data: bytes) -> Iterator[Report]:
    at = 1
    for _ in range(data[0]):
        address, size = address_text(data[at + 2 : at + 8]), data[at + 8]
        advertised = data[at + 9 : at + 9 + size]
        (rssi,) = struct.unpack_from("b", data, at + 9 + size)
        yield Report(address, advertised, None if rssi == _NO_RSSI else rssi)
        at += 10 + size
