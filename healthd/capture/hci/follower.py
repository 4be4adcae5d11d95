"""Follows the links of a log of HCI."""

import struct
from collections.abc import Callable, Iterator

from healthd.capture.att.dialogue import CHANNEL, Event, Times
from healthd.capture.att.opcodes import NOTIFICATION
from healthd.capture.files.packet import Kind, Packet
from healthd.capture.hci.events import (
    PERIPHERAL,
    ClassicLink,
    Events,
    LinkEnded,
    LinkMade,
    Report,
)
from healthd.capture.hci.reassembly import BrokenFrame, Frame, Reassembly
from healthd.capture.peer import Link, Peers
from healthd.capture.skim import key_of
from healthd.capture.value import Stream

_ACL = struct.Struct("<HH")
_HANDLE, _BOUNDARY = 0x0FFF, 12

_UNKNOWN = "00:00:00:00:00:00"

# No adapter has more at a time. Each may keep two frames of 64 kB.
_MOST_LINKS = 100

# Status of a connection that the host itself has cancelled.
_CANCELLED = 0x02


class Follower:
    """Turns packets of HCI into lines.

    Attributes:
        streams: the values that need nothing but their bytes at the moment, for ``skim``.
    """

    def __init__(self, peers: Peers, start: int, missing: Callable[[Packet, str], Event]) -> None:
        """Start without links.

        Args:
            peers: makes the links.
            start: the time of the first line, in microseconds.
            missing: makes the line for a packet that cannot be read.
        """
        self.streams: dict[int, Stream] = {}
        self._peers = peers
        self._start = start
        self._missing = missing
        self._events: dict[int, Events] = {}
        self._links: dict[tuple[int, int], Link] = {}
        self._fragments: dict[tuple[int, int], Reassembly] = {}
        self._classic: set[tuple[int, int]] = set()
        self._cut = 0

    def take(self, packet: Packet) -> Iterator[Event]:
        """Return the lines of a packet.

        Raises:
            IndexError, ValueError, struct.error: the packet is damaged.
        """
        times = Times(packet.micros, self._start)
        if packet.kind == Kind.ACL:
            yield from self._acl(packet, times)
        elif packet.kind == Kind.EVENT and not packet.cut:
            events = self._events.setdefault(packet.adapter, Events())
            for event in events.read(packet.data):
                yield from self._event(packet, times, event)

    def _event(
        self, packet: Packet, times: Times, event: LinkMade | LinkEnded | ClassicLink | Report
    ) -> Iterator[Event]:
        match event:
            case Report(address, data, rssi_dbm):
                yield self._peers.advertised(times, address, data, rssi_dbm)
            case LinkMade(status, handle, role, address):
                if status == 0:
                    device_received = role != PERIPHERAL
                    yield from self._made(packet, times, handle, address, device_received)
                elif status != _CANCELLED and address != _UNKNOWN:
                    yield self._peers.failed(times, address, status)
            case LinkEnded(handle, reason):
                self.streams.clear()
                key = packet.adapter, handle & _HANDLE
                self._classic.discard(key)
                self._fragments.pop(key, None)
                if (link := self._links.pop(key, None)) is not None:
                    yield from self._peers.end(link, times, reason)
            case ClassicLink(handle):
                self._classic.add((packet.adapter, handle & _HANDLE))

    def _made(
        self, packet: Packet, times: Times, handle: int, address: str, device_received: bool
    ) -> Iterator[Event]:
        key = packet.adapter, handle & _HANDLE
        self.streams.clear()
        self._classic.discard(key)
        self._fragments.pop(key, None)
        if key in self._links:
            yield self._missing(packet, "a link whose end is missing")
        self._links[key], line = self._peers.connect(times, address, device_received, joined=False)
        yield line

    def _acl(self, packet: Packet, times: Times) -> Iterator[Event]:
        first, total = _ACL.unpack_from(packet.data)
        key = packet.adapter, first & _HANDLE
        if key in self._classic:
            return
        fragments = self._fragments.get(key)
        if fragments is None:
            fragments = self._fragments[key] = Reassembly()
            if len(self._fragments) > _MOST_LINKS:
                del self._fragments[next(iter(self._fragments))]
        data = packet.data[4 : 4 + total]
        if packet.cut or len(data) < total:
            fragments.forget(packet.received)
            yield from self._on_cut(packet)
            return
        try:
            frame = fragments.take(first >> _BOUNDARY & 3, packet.received, data)
        except BrokenFrame as error:
            if key in self._links:
                yield self._missing(packet, str(error))
            frame = error.next
        if frame is None:
            self.streams.clear()  # the next packets of this link are parts of a frame
            return
        if frame.channel != CHANNEL or not frame.data:
            return
        if (link := self._links.get(key)) is None:
            device = f"handle {key[1]:#06x}"
            link, line = self._peers.connect(times, device, None, joined=True)
            link.device_received = None if packet.received is None else True
            self._links[key] = link
            yield line
        yield from link.take(times, frame.received, frame.data)
        self._note_stream(packet, key[1], link, frame)

    def _note_stream(self, packet: Packet, connection: int, link: Link, frame: Frame) -> None:
        """Let the next values of this characteristic be skimmed, if nothing speaks against it."""
        data = frame.data
        if data[0] != NOTIFICATION:
            # It may change what the values are.
            self.streams.clear()
        elif frame.received and link.device_received and packet.adapter == 0 and len(data) >= 3:
            handle = int.from_bytes(data[1:3], "little")
            stream = link.dialogue.stream(handle, self._start, confirmed=False)
            self.streams[key_of(connection, handle)] = stream

    def _on_cut(self, packet: Packet) -> Iterator[Event]:
        # The first one says it; a log that is cut by intention has one for each packet.
        self._cut += 1
        if self._cut == 1:
            whole = len(packet.data) + packet.cut
            found = f"{len(packet.data)} of {whole} bytes" if packet.cut else "too few bytes"
            yield self._missing(
                packet, f"the log has {found} of a packet, and may be cut in more places"
            )
