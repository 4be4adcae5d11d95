"""pcapng: the log of Wireshark and of nRF Sniffer.

Layout: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from healthd.capture.files.link_types import OPENERS, Opened, expected
from healthd.capture.files.packet import Kind, Packet
from healthd.capture.files.records import LONGEST_PACKET, Records

MAGIC = bytes.fromhex("0a0d0d0a")

_ORDERS = {bytes.fromhex("4d3c2b1a"): "<", bytes.fromhex("1a2b3c4d"): ">"}

_INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED = 1, 2, 3, 6
_END, _FLAGS, _RESOLUTION, _OFFSET = 0, 2, 9, 14
_INBOUND, _OUTBOUND = 1, 2
_MICROS = 1_000_000
_BLOCK_FRAME = 12  # type, length, and the length again

# Comments and names may make a block longer than a packet.
_LONGEST_BLOCK = 16 * LONGEST_PACKET
# More than any computer has adapters. Each takes memory.
_MOST_INTERFACES = 1000


class _Interface(NamedTuple):
    """An interface: its link type, units of its times per second, and seconds to add to them."""

    link_type: int
    per_second: int
    offset_s: int


class _Section:
    """A section of the file: its byte order and its interfaces."""

    def __init__(self, records: Records, order: str) -> None:
        self.order = order
        self._records = records
        self._interfaces: list[_Interface] = []

    def add_interface(self, body: bytes) -> None:
        if len(self._interfaces) == _MOST_INTERFACES:
            raise self._records.bad(f"more than {_MOST_INTERFACES} interfaces")
        link_type, _, _ = struct.unpack_from(f"{self.order}HHI", body)
        per_second, offset_s = _MICROS, 0
        for code, value in self._options(body[8:]):
            if code == _RESOLUTION and value:
                # The highest bit says whether the others are a power of 2 or of 10.
                per_second = (2 if value[0] & 0x80 else 10) ** (value[0] & 0x7F)
            elif code == _OFFSET and len(value) == 8:
                (offset_s,) = struct.unpack(f"{self.order}q", value)
        self._interfaces.append(_Interface(link_type, per_second, offset_s))

    def enhanced(self, body: bytes) -> Packet:
        number, high, low, length, original = struct.unpack_from(f"{self.order}IIIII", body)
        data, rest = body[20 : 20 + length], body[20 + length + -length % 4 :]
        received: bool | None = None
        for code, value in self._options(rest):
            if code == _FLAGS and len(value) == 4:
                (flags,) = struct.unpack(f"{self.order}I", value)
                received = {_INBOUND: True, _OUTBOUND: False}.get(flags & 3)
        if len(data) != length:
            raise self._records.bad(f"a packet of {length} bytes, found {len(data)}")
        return self._packet(number, high << 32 | low, data, original, received)

    def old(self, body: bytes) -> Packet:
        number, drops, high, low, length, original = struct.unpack_from(f"{self.order}HHIIII", body)
        del drops  # 65535 where it is not counted, and not the number since the last packet
        if len(body) < 20 + length:
            raise self._records.bad(f"a packet of {length} bytes, found {len(body) - 20}")
        return self._packet(number, high << 32 | low, body[20 : 20 + length], original, None)

    def simple(self, body: bytes, micros: int) -> Packet:
        (original,) = struct.unpack_from(f"{self.order}I", body)
        data = body[4 : 4 + original]
        return self._made(self._interface(0), 0, micros, data, original, None)

    def _packet(
        self, number: int, units: int, data: bytes, original: int, received: bool | None
    ) -> Packet:
        interface = self._interface(number)
        micros = units * _MICROS // interface.per_second + interface.offset_s * _MICROS
        return self._made(interface, number, micros, data, original, received)

    def _made(
        self,
        interface: _Interface,
        number: int,
        micros: int,
        data: bytes,
        original: int,
        received: bool | None,
    ) -> Packet:
        if (opener := OPENERS.get(interface.link_type)) is None:
            found = f"link type {interface.link_type}"
            raise self._records.bad(f"{found}, expected one of {expected()}")
        opened: Opened
        try:
            opened = opener(data)
        except (IndexError, struct.error):
            opened = Kind.OTHER, None, data, 0
        kind, known, payload, adapter = opened
        direction = received if known is None else known
        cut = max(0, original - len(data))
        records = self._records
        return Packet(
            records.number, records.start, micros, kind, direction, payload, cut, number or adapter
        )

    def _interface(self, number: int) -> _Interface:
        if number >= len(self._interfaces):
            raise self._records.bad(f"interface {number}, but {len(self._interfaces)} are known")
        return self._interfaces[number]

    def _options(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at + 4 <= len(data):
            code, length = struct.unpack_from(f"{self.order}HH", data, at)
            if code == _END:
                return
            yield code, data[at + 4 : at + 4 + length]
            at += 4 + length + -length % 4


def packets(records: Records) -> Iterator[Packet]:
    """Return the packets; the magic number has been read.

    Raises:
        BadCapture: the file is damaged or not of Bluetooth; the packets before are returned.
    """
    section = _begin_section(records)
    micros = 0
    while records.begin():
        kind = records.take(4)
        if kind == MAGIC:
            section = _begin_section(records)
            records.number -= 1
            continue
        (number,) = struct.unpack(f"{section.order}I", kind)
        body = _body(records, section.order)
        try:
            packet = _open(section, number, body, micros)
        except struct.error as error:
            raise records.bad(f"a block of type {number} that is too short") from error
        if packet is None:
            records.number -= 1  # as in Wireshark, other blocks are not counted
            continue
        micros = packet.micros
        yield packet


def _open(section: _Section, number: int, body: bytes, micros: int) -> Packet | None:
    if number == _INTERFACE:
        section.add_interface(body)
    elif number == _ENHANCED:
        return section.enhanced(body)
    elif number == _OLD_PACKET:
        return section.old(body)
    elif number == _SIMPLE:
        return section.simple(body, micros)
    return None


def _begin_section(records: Records) -> _Section:
    length, magic = records.take(4), records.take(4)
    if (order := _ORDERS.get(magic)) is None:
        raise records.bad(f"byte order {magic.hex()}, expected 4d3c2b1a or 1a2b3c4d")
    (size,) = struct.unpack(f"{order}I", length)
    if not 28 <= size <= _LONGEST_BLOCK:
        raise records.bad(f"a section header of {size} bytes, expected at least 28")
    records.take(size - 12)
    return _Section(records, order)


def _body(records: Records, order: str) -> bytes:
    (length,) = struct.unpack(f"{order}I", records.take(4))
    if not _BLOCK_FRAME <= length <= _LONGEST_BLOCK or length % 4:
        raise records.bad(
            f"a block of {length} bytes, expected a multiple of 4 from {_BLOCK_FRAME}"
            f" to {_LONGEST_BLOCK}"
        )
    body = records.take(length - _BLOCK_FRAME)
    if struct.unpack(f"{order}I", records.take(4)) != (length,):
        raise records.bad("the length at the end of the block differs from the one at its start")
    return body
