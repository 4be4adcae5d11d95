"""A parser for MQTT 5 byte streams, limited to CONNECT, PUBLISH and PUBACK."""

from collections.abc import Iterator
from typing import NamedTuple

CONNECT, PUBLISH, PUBACK = 1, 3, 4
_FIRST_FAILURE = 0x80


class Packet(NamedTuple):
    """A control packet: its type, its flags, and the bytes after the length."""

    type: int
    flags: int
    body: bytes


class Packets:
    """Split a byte stream into packets, independent of the chunks in which it arrives."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        self._rest += data
        while len(self._rest) >= 2:
            length = _number(self._rest, 1)
            if length is None or len(self._rest) < sum(length):
                return
            size, start = length
            first, body = self._rest[0], bytes(self._rest[start : start + size])
            del self._rest[: start + size]
            yield Packet(first >> 4, first & 0x0F, body)


def published(packet: Packet) -> tuple[int, str, bytes]:
    """Return packet id, topic and payload of a PUBLISH with QoS 1."""
    end = 2 + int.from_bytes(packet.body[:2], "big")
    mid = int.from_bytes(packet.body[end : end + 2], "big")
    properties = _number(packet.body, end + 2)
    assert properties is not None, "incomplete packet"
    size, start = properties
    return mid, packet.body[2:end].decode(), packet.body[start + size :]


def acknowledged(packet: Packet) -> tuple[int, bool]:
    """Return the packet id of a PUBACK, and whether the broker has accepted the message."""
    reason = packet.body[2] if len(packet.body) > 2 else 0
    return int.from_bytes(packet.body[:2], "big"), reason < _FIRST_FAILURE


def client_id(packet: Packet) -> str:
    """Return the client id of a CONNECT."""
    # Protocol name (6 bytes), level, flags, keep alive (2).
    properties = _number(packet.body, 10)
    assert properties is not None, "incomplete packet"
    start = sum(properties)
    size = int.from_bytes(packet.body[start : start + 2], "big")
    return packet.body[start + 2 : start + 2 + size].decode()


def _number(data: bytes | bytearray, start: int) -> tuple[int, int] | None:
    """Return a variable byte integer and its end; None if it is incomplete."""
    value = 0
    for index, byte in enumerate(data[start : start + 4]):
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, start + index + 1
    return None
