"""The BR/EDR half of a dual-mode controller, as far as the kernel sets it up; bumble has none.

An adapter with only LE differs from most real ones: with it, BlueZ 5.82 takes some filters of a
scan for none.
"""

from bumble.hci import LmpFeatureMask

FEATURES = LmpFeatureMask.LE_SUPPORTED_CONTROLLER | LmpFeatureMask.EXTENDED_FEATURES
"""What it supports; everything else is optional for BR/EDR."""

ADDRESS = "02:00:5E:10:00:01"
"""Its public address, which BR/EDR requires."""

_COMMAND, _EVENT, _COMMAND_COMPLETE = 0x01, 0x04, 0x0E
# What is returned after the status, by op code (Core 5.4, volume 4, part E, 7.3).
_ANSWERS = {
    0x0C05: b"",  # Set Event Filter
    0x0C12: b"\0\0",  # Delete Stored Link Key: none deleted
    0x0C16: b"",  # Write Connection Accept Timeout
    0x0C18: b"",  # Write Page Timeout
    0x0C1A: b"",  # Write Scan Enable
    0x0C1B: b"\x00\x08\x12\x00",  # Read Page Scan Activity
    0x0C1C: b"",  # Write Page Scan Activity
    0x0C20: b"",  # Write Authentication Enable
    0x0C25: b"\x60\x00",  # Read Voice Setting
    0x0C38: b"\x01",  # Read Number Of Supported IAC
    0x0C39: b"\x01\x33\x8b\x9e",  # Read Current IAC LAP: general inquiry
    0x0C3A: b"",  # Write Current IAC LAP
    0x0C45: b"",  # Write Inquiry Mode
    0x0C46: b"\0",  # Read Page Scan Type
    0x0C47: b"",  # Write Page Scan Type
    0x0C58: b"\0",  # Read Inquiry Response Transmit Power Level
    0x080F: b"",  # Write Default Link Policy Settings
}


def answer(packet: bytes) -> bytes | None:
    """Return the event that answers a command of BR/EDR; None if the packet is another one."""
    if packet[0] != _COMMAND:
        return None
    returned = _ANSWERS.get(int.from_bytes(packet[1:3], "little"))
    if returned is None:
        return None
    event = b"\x01" + packet[1:3] + b"\0" + returned
    return bytes([_EVENT, _COMMAND_COMPLETE, len(event)]) + event
