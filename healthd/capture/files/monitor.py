"""The opcodes of Linux's Bluetooth monitor, which btmon writes.

Source: the kernel's include/net/bluetooth/hci_mon.h.
"""

from healthd.capture.files.packet import Kind

_KINDS: dict[int, tuple[Kind, bool]] = {
    2: (Kind.COMMAND, False),
    3: (Kind.EVENT, True),
    4: (Kind.ACL, False),
    5: (Kind.ACL, True),
    6: (Kind.SCO, False),
    7: (Kind.SCO, True),
    18: (Kind.ISO, False),
    19: (Kind.ISO, True),
}


def monitored(opcode: int) -> tuple[Kind, bool | None]:
    """Return the kind and the direction of a packet; notes of the monitor are ``OTHER``."""
    return _KINDS.get(opcode, (Kind.OTHER, None))
