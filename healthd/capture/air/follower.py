"""Follows the links of a capture of the air.

Layouts: Core Specification, Vol 6, Part B, sections 2.3 and 2.4.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from healthd.capture.air.pdu import ADVERTISING, CRC_START, Pdu, pdu_of
from healthd.capture.att.dialogue import CHANNEL, Event, Times
from healthd.capture.files.packet import Packet
from healthd.capture.hci.events import address_text
from healthd.capture.hci.reassembly import BrokenFrame, Reassembly
from healthd.capture.peer import Link, Peers

_ADVERTISEMENTS = frozenset((0x0, 0x2, 0x4, 0x6))  # connectable or not, and scan responses
_CONNECT, _EXTENDED = 0x5, 0x7
_HAS_ADDRESS, _HAS_POINTER = 1, 16

_CONTINUES, _STARTS, _CONTROL = 1, 2, 3
_SEQUENCE = 0x08
_TERMINATE, _START_ENCRYPTION = 0x02, 0x05

# An answer begins 150 µs after the packet before it. A packet of the central begins a connection
# event, at least 7.5 ms after the last one began. The longest packet takes 2.1 ms.
_ANSWER_US = 4_000

# More than any place has links at a time. An access address that was heard wrongly makes one, too.
_MOST_LINKS = 1000


@dataclass(slots=True)
class _Heard:
    """A link, as far as it was heard.

    Attributes:
        device: address of the peripheral; empty if the beginning was not heard.
        crc_start: what its checksums start with; None if the beginning was not heard.
        link: its lines; None before it has carried anything.
        is_encrypted: whether what follows is encrypted.
        said_encrypted: whether a line says so.
        last: the last packet in each direction, to recognise repetitions.
        last_micros: when the last packet was heard.
        last_from_device: who sent it.
    """

    device: str
    crc_start: int | None
    link: Link | None = None
    fragments: Reassembly = field(default_factory=Reassembly)
    is_encrypted: bool = False
    said_encrypted: bool = False
    last: dict[bool, tuple[int, bytes]] = field(default_factory=dict[bool, tuple[int, bytes]])
    last_micros: int | None = None
    last_from_device: bool = True


class AirFollower:
    """Turns packets of the link layer into lines."""

    def __init__(self, peers: Peers, start: int, missing: Callable[[Packet, str], Event]) -> None:
        """Start without links; see ``hci.follower.Follower``."""
        self._peers = peers
        self._start = start
        self._missing = missing
        self._links: dict[int, _Heard] = {}

    def take(self, packet: Packet) -> Iterator[Event]:
        """Return the lines of a packet; one that was heard with an error has none.

        Raises:
            IndexError, ValueError, struct.error: the packet is damaged.
        """
        if packet.cut:
            raise ValueError("it is cut")
        times, pdu = Times(packet.micros, self._start), pdu_of(packet)
        if pdu.access == ADVERTISING:
            if pdu.fits(CRC_START):
                yield from self._advertisement(times, pdu)
            return
        heard = self._links.get(pdu.access)
        if heard is None:
            heard = self._add(pdu.access, _Heard("", None))
        from_device = self._direction(heard, pdu, packet.micros)
        if not _is_readable(heard, pdu):
            return
        if not self._is_repeated(heard, pdu, from_device):
            yield from self._data(packet, times, heard, pdu, from_device)

    def _advertisement(self, times: Times, pdu: Pdu) -> Iterator[Event]:
        kind, payload = pdu.header & 0x0F, pdu.payload
        if kind in _ADVERTISEMENTS and len(payload) >= 6:
            address = address_text(payload[:6])
            yield self._peers.advertised(times, address, payload[6:], pdu.rssi_dbm)
        elif kind == _EXTENDED:
            if (extended := _extended(payload)) is not None:
                address, data = extended
                yield self._peers.advertised(times, address, data, pdu.rssi_dbm)
        elif kind == _CONNECT and len(payload) >= 22:
            access, crc_start = struct.unpack_from("<I3s", payload, 12)
            device = address_text(payload[6:12])
            heard = _Heard(device, int.from_bytes(crc_start, "little"))
            self._add(access, heard)
            heard.link, line = self._peers.connect(times, device, True, joined=False)
            yield line

    def _add(self, access: int, heard: _Heard) -> _Heard:
        self._links.pop(access, None)
        self._links[access] = heard
        if len(self._links) > _MOST_LINKS:
            del self._links[next(iter(self._links))]
        return heard

    def _direction(self, heard: _Heard, pdu: Pdu, micros: int) -> bool:
        """Return whether the device sent a packet."""
        from_device = pdu.from_device
        if from_device is None:
            since = _ANSWER_US if heard.last_micros is None else micros - heard.last_micros
            from_device = 0 <= since < _ANSWER_US and not heard.last_from_device
        heard.last_micros, heard.last_from_device = micros, from_device
        return from_device

    @staticmethod
    def _is_repeated(heard: _Heard, pdu: Pdu, from_device: bool) -> bool:
        this = pdu.header & _SEQUENCE, pdu.payload
        repeated = heard.last.get(from_device) == this
        heard.last[from_device] = this
        return repeated

    def _data(
        self, packet: Packet, times: Times, heard: _Heard, pdu: Pdu, from_device: bool
    ) -> Iterator[Event]:
        if not pdu.payload:
            return
        if pdu.is_encrypted or (heard.is_encrypted and not pdu.is_decrypted):
            if not heard.said_encrypted:
                heard.said_encrypted = True
                name = f"link {heard.link.number}" if heard.link else "a link"
                yield self._missing(
                    packet,
                    f"{name} is encrypted from here on. A capture of the air has no keys: its"
                    " values cannot be read. Take a log on the phone or computer instead",
                )
            return
        kind = pdu.header & 3
        if kind == _CONTROL:
            yield from self._control(times, heard, pdu)
            return
        boundary = 0 if kind == _STARTS else 1
        try:
            frame = heard.fragments.take(boundary, from_device, pdu.payload)
        except BrokenFrame as error:
            if heard.link is not None:
                yield self._missing(packet, str(error))
            frame = error.next
        if frame is None or frame.channel != CHANNEL or not frame.data:
            return
        if heard.link is None:
            device = f"access {pdu.access:08x}"
            heard.link, line = self._peers.connect(times, device, True, joined=True)
            yield line
        yield from heard.link.take(times, from_device, frame.data)

    def _control(self, times: Times, heard: _Heard, pdu: Pdu) -> Iterator[Event]:
        opcode = pdu.payload[0]
        if opcode == _START_ENCRYPTION:
            heard.is_encrypted = True
        elif opcode == _TERMINATE and heard.link is not None:
            self._links.pop(pdu.access, None)
            yield from self._peers.end(heard.link, times, pdu.payload[1])


def _is_readable(heard: _Heard, pdu: Pdu) -> bool:
    if heard.crc_start is not None:
        return pdu.fits(heard.crc_start)
    if pdu.is_intact is not None or heard.link is not None:
        return pdu.is_intact is not False
    # Whether it was heard rightly is not known. What looks like ATT is taken for it.
    return pdu.header & 3 == _STARTS and _looks_like_att(pdu.payload)


def _looks_like_att(payload: bytes) -> bool:
    if len(payload) < 5:
        return False
    length, channel = struct.unpack_from("<HH", payload)
    return channel == CHANNEL and length >= len(payload) - 4


def _extended(payload: bytes) -> tuple[str, bytes] | None:
    """Return address and data of an extended advertisement that is in one packet, else None."""
    size = payload[0] & 0x3F
    if not size or len(payload) <= size:
        return None
    flags, at = payload[1], 2
    if not flags & _HAS_ADDRESS or flags & _HAS_POINTER:
        return None  # the data is in another packet
    return address_text(payload[at : at + 6]), payload[1 + size :]
