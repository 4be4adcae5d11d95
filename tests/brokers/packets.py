"""MQTT control packets as a broker reads and writes them (OASIS MQTT 5.0 and 3.1.1, chapter 3).

Independent of paho, which is part of what the tests check.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

# Identifiers of properties, MQTT 5 table 2-4.
SESSION_EXPIRY, ASSIGNED_CLIENT_ID, SERVER_KEEP_ALIVE = 0x11, 0x12, 0x13
SERVER_REFERENCE, REASON_STRING, RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM = 0x1C, 0x1F, 0x21, 0x22
TOPIC_ALIAS, MAXIMUM_QOS, RETAIN_AVAILABLE, USER_PROPERTY = 0x23, 0x24, 0x25, 0x26
MAXIMUM_PACKET_SIZE, WILDCARD_AVAILABLE = 0x27, 0x28
SUBSCRIPTION_ID_AVAILABLE, SHARED_AVAILABLE = 0x29, 0x2A

_ONE_BYTE = {0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A}
_TWO_BYTES = {0x13, 0x21, 0x22, 0x23}
_FOUR_BYTES = {0x02, 0x11, 0x18, 0x27}
_TEXT = {0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F}
_BINARY = {0x09, 0x16}
_VARIABLE = {0x0B}

Value = int | str | bytes
Properties = Mapping[int, Value]
"""By identifier, without user properties."""


class Malformed(Exception):
    """Bytes that are not a packet of the protocol."""


class Packet(NamedTuple):
    """A control packet: its type, its flags, the bytes after the length, and its size in all."""

    type: int
    flags: int
    body: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Connect:
    """A CONNECT packet; ``will_*`` are empty without a will."""

    version: int
    client_id: str
    keep_alive: int
    username: str | None = None
    password: bytes | None = None
    will_topic: str | None = None
    will_retain: bool = False
    will_qos: int = 0
    properties: Properties = field(default_factory=dict[int, Value])


@dataclass(frozen=True, slots=True)
class Publish:
    """A PUBLISH packet; ``size`` is the whole packet's, ``mid`` is 0 with QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    duplicate: bool
    mid: int
    size: int
    properties: Properties = field(default_factory=dict[int, Value])


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise Malformed("the packet is too short")
        self._at += count
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def variable(self) -> int:
        value = 0
        for place in range(4):
            byte = self.number(1)
            value |= (byte & 0x7F) << (7 * place)
            if not byte & 0x80:
                return value
        raise Malformed("a length of more than four bytes")

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        return self.binary().decode()

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    @property
    def empty(self) -> bool:
        return self._at == len(self._data)

    def properties(self) -> dict[int, Value]:
        inner = _Reader(self.take(self.variable()))
        found: dict[int, Value] = {}
        while not inner.empty:
            key = inner.variable()
            if key == USER_PROPERTY:
                _, _ = inner.text(), inner.text()
            elif key in found:
                raise Malformed(f"property {key:#04x} twice")
            else:
                found[key] = inner.value(key)
        return found

    def value(self, key: int) -> Value:
        for keys, size in ((_ONE_BYTE, 1), (_TWO_BYTES, 2), (_FOUR_BYTES, 4)):
            if key in keys:
                return self.number(size)
        if key in _TEXT:
            return self.text()
        if key in _BINARY:
            return self.binary()
        if key in _VARIABLE:
            return self.variable()
        raise Malformed(f"unknown property {key:#04x}")


async def read_packet(stream: asyncio.StreamReader) -> Packet:
    """Read the next packet.

    Raises:
        asyncio.IncompleteReadError, ConnectionError: the connection ended.
        Malformed: the length is longer than four bytes.
    """
    first = (await stream.readexactly(1))[0]
    length = header = 0
    for place in range(4):
        byte = (await stream.readexactly(1))[0]
        length |= (byte & 0x7F) << (7 * place)
        header = place + 2
        if not byte & 0x80:
            break
    else:
        raise Malformed("a length of more than four bytes")
    body = await stream.readexactly(length)
    return Packet(first >> 4, first & 0x0F, body, header + length)


def parse_connect(packet: Packet) -> Connect:
    """Parse a CONNECT (section 3.1)."""
    reader = _Reader(packet.body)
    if reader.text() != "MQTT":
        raise Malformed("not MQTT")
    version, flags, keep_alive = reader.number(1), reader.number(1), reader.number(2)
    properties = reader.properties() if version == 5 else {}
    client_id, will_topic = reader.text(), None
    if flags & 0x04:
        if version == 5:
            reader.properties()
        will_topic = reader.text()
        reader.binary()
    return Connect(
        version=version,
        client_id=client_id,
        keep_alive=keep_alive,
        will_topic=will_topic,
        will_retain=bool(flags & 0x20),
        will_qos=flags >> 3 & 3,
        username=reader.text() if flags & 0x80 else None,
        password=reader.binary() if flags & 0x40 else None,
        properties=properties,
    )


def parse_publish(packet: Packet, version: int) -> Publish:
    """Parse a PUBLISH (section 3.3)."""
    reader = _Reader(packet.body)
    topic, qos = reader.text(), packet.flags >> 1 & 3
    mid = reader.number(2) if qos else 0
    properties = reader.properties() if version == 5 else {}
    return Publish(
        topic=topic,
        payload=reader.rest(),
        qos=qos,
        retain=bool(packet.flags & 1),
        duplicate=bool(packet.flags & 8),
        mid=mid,
        size=packet.size,
        properties=properties,
    )


def parse_subscribe(packet: Packet, version: int) -> tuple[int, dict[str, int], Properties]:
    """Return packet id, filters and properties of a SUBSCRIBE or UNSUBSCRIBE.

    Each filter has its quality of service, which is 0 in an UNSUBSCRIBE.
    """
    reader = _Reader(packet.body)
    mid = reader.number(2)
    properties = reader.properties() if version == 5 else {}
    filters: dict[str, int] = {}
    while not reader.empty:
        topic_filter = reader.text()
        options = reader.number(1) if packet.type == SUBSCRIBE else 0
        filters[topic_filter] = options & 0b11
    return mid, filters, properties


def parse_disconnect(packet: Packet) -> int:
    """Return the reason code of a DISCONNECT."""
    return packet.body[0] if packet.body else 0


def connack(version: int, code: int, properties: Properties) -> bytes:
    """Build a CONNACK; ``code`` is the one of that version."""
    body = bytes((0, code))
    return _packet(CONNACK, body + (_packed(properties) if version == 5 else b""))


def puback(version: int, mid: int, code: int, reason: str | None = None) -> bytes:
    """Build a PUBACK; MQTT 3.1.1 has no codes."""
    body = mid.to_bytes(2, "big")
    if version == 5 and (code or reason):
        body += bytes((code,)) + _packed({} if reason is None else {REASON_STRING: reason})
    return _packet(PUBACK, body)


def suback(version: int, mid: int, codes: Iterable[int], *, kind: int = SUBACK) -> bytes:
    """Build a SUBACK, or an UNSUBACK, which has codes in MQTT 5 only."""
    body = mid.to_bytes(2, "big") + (_packed({}) if version == 5 else b"")
    if version == 5 or kind == SUBACK:
        body += bytes(codes)
    return _packet(kind, body)


def publish(version: int, topic: str, payload: bytes, *, retain: bool = False) -> bytes:
    """Build a PUBLISH with QoS 0."""
    body = _text(topic) + (_packed({}) if version == 5 else b"") + payload
    return _packet(PUBLISH, body, int(retain))


def disconnect(code: int, properties: Properties) -> bytes:
    """Build the DISCONNECT of an MQTT 5 broker."""
    return _packet(DISCONNECT, bytes((code,)) + _packed(properties))


def pingresp() -> bytes:
    """Build a PINGRESP."""
    return _packet(PINGRESP, b"")


def _packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    return bytes((kind << 4 | flags,)) + _variable(len(body)) + body


def _variable(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, byte = divmod(number, 128)
        encoded.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


def _text(text: str) -> bytes:
    # A lone surrogate stands for a byte that is not UTF-8.
    data = text.encode("utf-8", "surrogateescape")
    return len(data).to_bytes(2, "big") + data


def _packed(properties: Properties) -> bytes:
    encoded = b"".join(bytes((key,)) + _encoded(key, value) for key, value in properties.items())
    return _variable(len(encoded)) + encoded


def _encoded(key: int, value: Value) -> bytes:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return len(value).to_bytes(2, "big") + value
    size = next(n for keys, n in ((_ONE_BYTE, 1), (_TWO_BYTES, 2), (_FOUR_BYTES, 4)) if key in keys)
    return value.to_bytes(size, "big")
