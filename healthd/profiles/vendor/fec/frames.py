"""Frames of FE-C over Bluetooth: an ANT message with a page of eight bytes.

``A4 09``, type, channel, page, checksum: the XOR of everything before it. Type 4E is broadcast
data, and all that a NEO sends; 4F is acknowledged data, and what is written. The channel is 5.
"""

from healthd.errors import DecodeError
from healthd.profiles.packet.crc import xor_of

PAGE_BYTES = 8

_SYNC, _LENGTH = 0xA4, 0x09
_BROADCAST, _ACKNOWLEDGED = 0x4E, 0x4F
_CHANNEL = 0x05

_START = bytes((_SYNC, _LENGTH, _ACKNOWLEDGED, _CHANNEL))
FRAME_BYTES = len(_START) + PAGE_BYTES + 1

# The start of a frame with a page. Looked up, it takes a third of the time of comparing its parts.
_STARTS = frozenset(
    bytes((_SYNC, _LENGTH, type_, _CHANNEL)) for type_ in (_BROADCAST, _ACKNOWLEDGED)
)


def framed(page: bytes) -> bytes:
    """Return the frame that is written for a page of eight bytes."""
    message = _START + page
    return message + bytes((xor_of(message),))


def page_of(data: bytes) -> bytes | None:
    """Return the page in a frame; None for another ANT message, which has none.

    Raises:
        DecodeError: it is not an ANT message, it ends too early, or its checksum is wrong.
    """
    if not data or data[0] != _SYNC:
        raise DecodeError("offset 0: expected a frame, which begins with a4")
    # A message has a length, a type and a checksum in addition to the bytes that the length counts.
    size = data[1] + 4 if len(data) > 1 else FRAME_BYTES
    if len(data) < size:
        raise DecodeError(f"expected a frame of {size} bytes, found {len(data)}")
    # That of a whole frame is 0, because it ends with that of the others.
    if xor_of(data[:size]):
        found, expected = data[size - 1], xor_of(data[: size - 1])
        raise DecodeError(f"offset {size - 1}: checksum is {found:02x}, expected {expected:02x}")
    return data[4:12] if data[:4] in _STARTS else None


def surplus(data: bytes) -> int:
    """Return how many bytes follow the frame that this is."""
    return len(data) - data[1] - 4
