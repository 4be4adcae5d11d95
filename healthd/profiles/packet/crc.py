"""CRCs and other checksums at the end of messages.

That of continuous glucose monitors (E2E-CRC) is CRC-16/MCRF4XX: polynomial 0x1021 with mirrored
bits, initial value 0xFFFF, lowest byte first. It is the standard library's ``crc_hqx`` with the
bits of every byte mirrored, so it needs neither a dependency nor a loop.
Source: Continuous Glucose Monitoring Service 1.0.

CRC-8 has the polynomial 0x07 and the initial value 0; no bits are mirrored.
"""

from binascii import crc_hqx
from functools import reduce
from typing import Any

from healthd.profiles.packet.layout import Layout

_SIZE = 2
_INITIAL = 0xFFFF
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _shifted(byte: int) -> int:
    """Return the CRC-8 of one byte."""
    for _ in range(8):
        byte = byte << 1 ^ (0x107 if byte & 0x80 else 0)
    return byte


_CRC_8 = bytes(map(_shifted, range(256)))


def crc_8(data: bytes) -> int:
    """Return the CRC-8 of these bytes."""
    crc = 0
    for byte in data:
        crc = _CRC_8[crc ^ byte]
    return crc


def xor_of(data: bytes) -> int:
    """Return the XOR of these bytes."""
    return reduce(int.__xor__, data, 0)


def is_intact(message: bytes) -> bool:
    """Return whether the last two bytes are the CRC of the bytes before them."""
    # The CRC of a message together with its CRC is 0, because it has no final xor.
    return len(message) >= _SIZE and not crc_hqx(message.translate(_MIRRORED), _INITIAL)


def read_checked(layout: Layout, message: bytes) -> dict[str, Any]:
    """Return a message's fields, and ``crc_ok`` if it has a CRC.

    A message that is two bytes longer than its layout has a CRC: the sensor's features say whether
    it sends CRCs, but they are not known here. A message with a wrong CRC keeps its fields: the
    radio has a CRC of its own, so the sender's computation is more likely to be wrong.

    Raises:
        DecodeError: the message ends before a required field.
    """
    fields = layout.read(message)
    if fields.get("trailing_bytes") == _SIZE:
        del fields["trailing_bytes"]
        fields["crc_ok"] = is_intact(message)
    return fields
