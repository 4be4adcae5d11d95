"""Enough of MQTT 5 to see, in a byte stream, what is published and what is acknowledged."""

from collections.abc import Iterator
from typing import NamedTuple

CONNECT, PUBLISH, PUBACK = 1, 3, 4
_FIRST_FAILURE = 0x80


class Packet(NamedTuple):
    """A control packet: its type, the flags beside it, and what follows the length."""

    type: int
    flags: int
    body: bytes


class Packets:
    """Cuts a byte stream into packets, however it arrives."""

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
    """Packet id, topic and payload of a PUBLISH with QoS 1."""
    end = 2 + int.from_bytes(packet.body[:2], "big")
    mid = int.from_bytes(packet.body[end : end + 2], "big")
    properties = _number(packet.body, end + 2)
    assert properties is not None, "a whole packet"
    size, start = properties
    return mid, packet.body[2:end].decode(), packet.body[start + size :]


def acknowledged(packet: Packet) -> tuple[int, bool]:
    """Packet id of a PUBACK, and whether the broker has taken the message."""
    reason = packet.body[2] if len(packet.body) > 2 else 0
    return int.from_bytes(packet.body[:2], "big"), reason < _FIRST_FAILURE


def client_id(packet: Packet) -> str:
    """Who connects."""
    # Protocol name (6 bytes), level, flags, keep alive (2).
    properties = _number(packet.body, 10)
    assert properties is not None, "a whole packet"
    start = sum(properties)
    size = int.from_bytes(packet.body[start : start + 2], "big")
    return packet.body[start + 2 : start + 2 + size].decode()


def _number(data: bytes | bytearray, start: int) -> tuple[int, int] | None:
    """A variable byte integer, and where it ends; None where it is not all there."""
    value = 0
    for index, byte in enumerate(data[start : start + 4]):
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, start + index + 1
    return None
