"""The CRC behind the messages of continuous glucose monitors (E2E-CRC).

CRC-16/MCRF4XX: polynomial 0x1021 with mirrored bits, initial value 0xFFFF, lowest byte first. It
is the standard library's ``crc_hqx`` with the bits of every byte mirrored, so neither a
dependency nor a loop of our own is needed for it.
Source: Continuous Glucose Monitoring Service 1.0.
"""

from binascii import crc_hqx
from typing import Any

from healthd.profiles.packet.layout import Layout

_SIZE = 2
_INITIAL = 0xFFFF
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def is_intact(message: bytes) -> bool:
    """Whether the last two bytes are the CRC of those before them."""
    # Run over a message and its own CRC, a CRC without a final xor is 0.
    return len(message) >= _SIZE and not crc_hqx(message.translate(_MIRRORED), _INITIAL)


def read_checked(layout: Layout, message: bytes) -> dict[str, Any]:
    """A message's fields, and ``crc_ok`` where it has a CRC.

    It has one where it is two bytes longer than its layout: which sensor sends CRCs stands in
    its features, and no message comes with them. A message whose CRC is wrong keeps its fields:
    the radio has a CRC of its own, so the sender's arithmetic is the likelier fault.

    Raises:
        DecodeError: it ends before a required field.
    """
    fields = layout.read(message)
    if fields.get("trailing_bytes") == _SIZE:
        del fields["trailing_bytes"]
        fields["crc_ok"] = is_intact(message)
    return fields
