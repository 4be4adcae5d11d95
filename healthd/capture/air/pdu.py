"""Packets of the link layer, and what sniffers add to them.

Layouts: Core Specification, Vol 6, Part B, section 2; tcpdump's pages of LINKTYPE_BLUETOOTH_LE_LL
and LINKTYPE_BLUETOOTH_LE_LL_WITH_PHDR; Wireshark, epan/dissectors/packet-nordic_ble.c.
"""

import struct
from typing import NamedTuple

from healthd.capture.files.packet import Kind, Packet

ADVERTISING = 0x8E89BED6
"""The access address of all advertisements."""

CRC_START = 0x555555
"""What the checksum of advertisements starts with; links have their own value."""

_CRC_BYTES = 3
_ADDRESS_BYTES = 4
# The packet header says how much of the rest is the payload.
_HEADER_BYTES = 2

_PHDR = struct.Struct("<BbbBIH")
_SIGNAL, _DECRYPTED, _CRC_CHECKED, _CRC_VALID = 0x0002, 0x0008, 0x0400, 0x0800
_TYPE_SHIFT, _FROM_CENTRAL, _FROM_DEVICE = 7, 2, 3

_NORDIC = struct.Struct("<BHBHBBBBBHI")
_NORDIC_VERSIONS = (2, 3)
_NORDIC_PACKETS = (2, 6)
_NORDIC_CRC, _NORDIC_DIRECTION, _NORDIC_ENCRYPTED, _NORDIC_MIC = 1, 2, 4, 8


class Pdu(NamedTuple):
    """A packet of the link layer.

    Attributes:
        access: its access address.
        header: the first byte of its header.
        payload: what follows the header.
        checksum: as it was heard; None if it was not.
        is_intact: whether the checksum fits; None if the sniffer does not say.
        from_device: whether the peripheral sent it; None if the sniffer does not say.
        is_encrypted: whether it is known to be encrypted, and the sniffer had no key.
        is_decrypted: whether the sniffer had the key.
        rssi_dbm: signal strength; None if it is not known.
    """

    access: int
    header: int
    payload: bytes
    checksum: int | None
    is_intact: bool | None
    from_device: bool | None = None
    is_encrypted: bool = False
    is_decrypted: bool = False
    rssi_dbm: int | None = None

    def fits(self, start: int) -> bool:
        """Whether it was heard without an error.

        Args:
            start: what its checksum starts with.
        """
        if self.is_intact is not None or self.checksum is None:
            return self.is_intact is not False
        return checksum(bytes((self.header, len(self.payload))) + self.payload, start) == (
            self.checksum
        )


def pdu_of(packet: Packet) -> Pdu:
    """Return what a packet of a capture holds.

    Raises:
        IndexError, ValueError, struct.error: it is too short, or of an unknown version.
    """
    if packet.kind == Kind.NORDIC:
        return _nordic(packet.data)
    if packet.kind == Kind.LINK_LAYER_PHDR:
        return _with_header(packet.data)
    return _plain(packet.data)


def checksum(data: bytes, start: int) -> int:
    """Return the checksum of a header and a payload, as it is sent: the first byte lowest."""
    register = 0
    for bit in range(24):
        register |= (start >> bit & 1) << (23 - bit)
    for byte in data:
        register ^= byte
        for _ in range(8):
            # The polynomial 0x65B, its bits in the order of the air.
            register = register >> 1 ^ 0xDA6000 if register & 1 else register >> 1
    return register


def _plain(data: bytes) -> Pdu:
    (access,) = struct.unpack_from("<I", data)
    header, length = data[_ADDRESS_BYTES], data[_ADDRESS_BYTES + 1]
    start = _ADDRESS_BYTES + _HEADER_BYTES
    payload, after = data[start : start + length], data[start + length :]
    if len(payload) < length:
        raise IndexError
    heard = int.from_bytes(after[:_CRC_BYTES], "little") if len(after) >= _CRC_BYTES else None
    return Pdu(access, header, payload, heard, None)


def _with_header(data: bytes) -> Pdu:
    _, signal, _, _, _, flags = _PHDR.unpack_from(data)
    pdu = _plain(data[_PHDR.size :])
    kind = flags >> _TYPE_SHIFT & 7
    return pdu._replace(
        is_intact=bool(flags & _CRC_VALID) if flags & _CRC_CHECKED else None,
        from_device={_FROM_CENTRAL: False, _FROM_DEVICE: True}.get(kind),
        is_decrypted=bool(flags & _DECRYPTED),
        rssi_dbm=signal if flags & _SIGNAL else None,
    )


def _nordic(data: bytes) -> Pdu:
    _, _, version, _, what, size, flags, _, strength, _, _ = _NORDIC.unpack_from(data)
    if version not in _NORDIC_VERSIONS:
        raise ValueError(f"nRF Sniffer's format {version}, expected 2 or 3")
    if what not in _NORDIC_PACKETS:
        raise ValueError(f"a message of type {what} of nRF Sniffer, expected a packet")
    # The board, the length, the version, the counter and the type are not part of ``size``.
    pdu = _plain(data[7 + size :])
    pdu = pdu._replace(is_intact=bool(flags & _NORDIC_CRC), rssi_dbm=-strength)
    if pdu.access == ADVERTISING:
        return pdu
    encrypted = bool(flags & _NORDIC_ENCRYPTED)
    decrypted = encrypted and bool(flags & _NORDIC_MIC)
    return pdu._replace(
        from_device=not flags & _NORDIC_DIRECTION,
        is_encrypted=encrypted and not decrypted,
        is_decrypted=decrypted,
    )
