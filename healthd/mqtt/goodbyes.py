"""Reads what a broker says in a CONNACK that refuses, and in a DISCONNECT.

paho refuses packets with reason codes that the standard does not list for them, and drops a
DISCONNECT that it has not read when a write fails.
"""

from healthd.mqtt.reasons import Goodbye

_FIRST_FAILURE = 0x80
_DISCONNECT = 0xE0

_SERVER_REFERENCE, _REASON_STRING, _USER_PROPERTY = 0x1C, 0x1F, 0x26

# Bytes per property (MQTT 5 section 2.2.2.2). All others of these packets are texts or binary data,
# which begin with a length of two bytes.
_SIZES = {0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1}


def goodbye(body: bytes) -> Goodbye | None:
    """Return what the broker says, or None if its reason code is not a failure.

    Args:
        body: reason code and properties of the packet.
    """
    if not body or body[0] < _FIRST_FAILURE:
        return None
    try:
        texts = _texts(body[1:])
    except ValueError:  # the code still counts
        texts = {}
    return Goodbye(body[0], texts.get(_REASON_STRING), texts.get(_SERVER_REFERENCE))


def last_disconnect(data: bytes) -> Goodbye | None:
    """Return what the broker's DISCONNECT says, or None if there is none.

    Args:
        data: whole MQTT 5 packets; nothing follows a DISCONNECT.

    Raises:
        ValueError: these are not MQTT packets.
    """
    rest = _Bytes(data)
    while rest:
        kind = rest.take(1)[0]
        body = rest.take(rest.number())
        if kind == _DISCONNECT:
            return goodbye(body)
    return None


def _texts(data: bytes) -> dict[int, str]:
    texts: dict[int, str] = {}
    rest = _Bytes(data)
    properties = _Bytes(rest.take(rest.number()) if rest else b"")
    while properties:
        identifier = properties.take(1)[0]
        if (size := _SIZES.get(identifier)) is not None:
            properties.take(size)
            continue
        texts[identifier] = properties.text()
        if identifier == _USER_PROPERTY:
            properties.text()
    return texts


class _Bytes:
    """Bytes that are read from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bool__(self) -> bool:
        return bool(self._data)

    def take(self, count: int) -> bytes:
        if count > len(self._data):
            raise ValueError("the packet is cut off")
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self) -> int:
        """Read a variable byte integer (MQTT 5 section 1.5.5)."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise ValueError("a length of more than four bytes")

    def text(self) -> str:
        return self.take(int.from_bytes(self.take(2), "big")).decode(errors="replace")
