"""Names of the codes of HCI and ATT (Core Specification, Vol 1, Part F, and Vol 3, Part F)."""

_HCI = {
    0x02: "unknown connection identifier",
    0x05: "authentication failure",
    0x06: "PIN or key missing",
    0x07: "memory capacity exceeded",
    0x08: "connection timeout",
    0x09: "connection limit exceeded",
    0x0C: "command disallowed",
    0x12: "invalid parameters",
    0x13: "remote user terminated the connection",
    0x14: "remote device terminated the connection: low resources",
    0x15: "remote device terminated the connection: power off",
    0x16: "connection terminated by the local host",
    0x1A: "unsupported remote feature",
    0x1F: "unspecified error",
    0x22: "LL response timeout",
    0x28: "instant passed",
    0x29: "pairing with unit key not supported",
    0x3B: "unacceptable connection parameters",
    0x3D: "connection terminated: MIC failure",
    0x3E: "connection failed to be established",
}

_ATT = {
    0x01: "invalid handle",
    0x02: "read not permitted",
    0x03: "write not permitted",
    0x04: "invalid PDU",
    0x05: "insufficient authentication",
    0x06: "request not supported",
    0x07: "invalid offset",
    0x08: "insufficient authorization",
    0x09: "prepare queue full",
    0x0A: "attribute not found",
    0x0B: "attribute not long",
    0x0C: "encryption key size too short",
    0x0D: "invalid attribute value length",
    0x0E: "unlikely error",
    0x0F: "insufficient encryption",
    0x10: "unsupported group type",
    0x11: "insufficient resources",
    0x12: "database out of sync",
    0x13: "value not allowed",
    0xFC: "write request rejected",
    0xFD: "CCCD improperly configured",
    0xFE: "procedure already in progress",
    0xFF: "out of range",
}

# Codes that services define (Core Specification, Vol 3, Part F, 3.4.1.1).
_APPLICATION = range(0x80, 0xA0)


def hci_text(code: int) -> str:
    """Return what a status or reason of HCI means."""
    return _HCI.get(code, f"code {code:#04x}")


def att_text(code: int) -> str:
    """Return what an error of ATT means."""
    if code in _APPLICATION:
        return f"application error {code:#04x}"
    return _ATT.get(code, f"code {code:#04x}")
