"""Packets of the link layer as sniffers write them (Core Specification 5.4, Vol 6, Part B)."""

import struct

from tests.support.radio_log import raw_address

ADVERTISING = 0x8E89BED6
ADVERTISING_CRC = 0x555555
LINK_LAYER, LINK_LAYER_PHDR, NORDIC = 251, 256, 272

CONTINUES, STARTS, CONTROL = 1, 2, 3


def crc(data: bytes, start: int) -> bytes:
    """Return the checksum of header and payload as sent, by the shift register of figure 3.5.

    The positions of the register are 0 to 23; the bit of position 23 is sent first.
    """
    positions = [start >> bit & 1 for bit in range(24)]
    for byte in data:
        for bit in range(8):
            back = positions[23] ^ (byte >> bit & 1)
            positions = [back, *positions[:23]]
            # The polynomial: x^24 + x^10 + x^9 + x^6 + x^4 + x^3 + x + 1.
            for tap in (1, 3, 4, 6, 9, 10):
                positions[tap] ^= back
    sent = positions[::-1]
    return bytes(sum(sent[byte * 8 + bit] << bit for bit in range(8)) for byte in range(3))


def packet(access: int, header: int, payload: bytes, start: int) -> bytes:
    """Return access address, header, payload and checksum."""
    data = bytes((header, len(payload))) + payload
    return struct.pack("<I", access) + data + crc(data, start)


def advertisement(address: str, data: bytes) -> bytes:
    """Return an ADV_IND."""
    payload = raw_address(address) + data
    return packet(ADVERTISING, 0x40, payload, ADVERTISING_CRC)


def connection(central: str, peripheral: str, access: int, start: int) -> bytes:
    """Return a CONNECT_IND, which gives a link its access address and start of checksums."""
    link = struct.pack("<I", access) + start.to_bytes(3, "little") + bytes((2,))
    link += struct.pack("<HHHH", 6, 24, 0, 72) + b"\xff\xff\xff\xff\x1f" + b"\x05"
    payload = raw_address(central) + raw_address(peripheral) + link
    return packet(ADVERTISING, 0xC5, payload, ADVERTISING_CRC)


class AirLink:
    """Makes the packets of one link, with their sequence numbers.

    Attributes:
        access: its access address.
        start: what its checksums start with.
    """

    def __init__(self, access: int, start: int) -> None:
        self.access = access
        self.start = start
        self._sequence = {True: 0, False: 0}

    def att(self, pdu: bytes, *, from_device: bool, fragment: int = 27) -> list[bytes]:
        """Return a PDU of ATT in data PDUs of at most ``fragment`` bytes."""
        frame = struct.pack("<HH", len(pdu), 4) + pdu
        return [
            self.data(
                CONTINUES if at else STARTS, frame[at : at + fragment], from_device=from_device
            )
            for at in range(0, len(frame), fragment)
        ]

    def data(self, kind: int, payload: bytes, *, from_device: bool) -> bytes:
        """Return the next data PDU in one direction."""
        sequence = self._sequence[from_device]
        self._sequence[from_device] = 1 - sequence
        return packet(self.access, kind | sequence << 3, payload, self.start)


def with_header(data: bytes, *, from_device: bool | None, signal: int = -50) -> bytes:
    """Return a packet with the header of link type 256; None: the direction is not known."""
    kind = {None: 0, False: 2, True: 3}[from_device]
    if data[:4] == struct.pack("<I", ADVERTISING):
        kind = 0
    # Dewhitened, signal valid, checksum checked and valid.
    flags = 0x0001 | 0x0002 | kind << 7 | 0x0400 | 0x0800
    return struct.pack("<BbbBIH", 37, signal, -128, 0, ADVERTISING, flags) + data


def nordic(data: bytes, *, from_device: bool | None, signal: int = -50) -> bytes:
    """Return a packet with the header of nRF Sniffer's format 3, which has a header of 10 bytes."""
    # Checksum valid; on a link: sent by the central or not; and the PHY, 1M.
    flags = 1 if from_device is not False else 3
    what = 2 if data[:4] == struct.pack("<I", ADVERTISING) else 6
    head = struct.pack("<BHBHB", 0, 10 + len(data), 3, 7, what)
    return head + struct.pack("<BBBBHI", 10, flags, 37, -signal, 0, 1000) + data
