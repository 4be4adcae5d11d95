"""Logs of HCI, byte by byte, as phones and computers write them.

Layouts: Core Specification 5.4, Vol 4, Part E, and Vol 3, Parts A and F; RFC 1761; tcpdump's list
of link types; the pcapng draft of the IETF; the kernel's hci_mon.h.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

COMMAND, ACL, EVENT = 1, 2, 4
ATT = 4
BTSNOOP_TYPES = (1001, 1002, 2001)
PCAP_TYPES = (187, 201, 254)

BEGINNING_US = 1_795_917_811_123_456
"""2026-11-29 02:03:31.123456 UTC."""

# Microseconds from midnight of the year 0 to 1970: Android's btsnoop_net.c.
_YEAR_0_US = 0x00DCDDB30F2F8000

_MONITOR = {(COMMAND, False): 2, (EVENT, True): 3, (ACL, False): 4, (ACL, True): 5}
_APPLE = {(COMMAND, False): 0, (EVENT, True): 1, (ACL, False): 2, (ACL, True): 3}


class Packet(NamedTuple):
    """A packet between host and controller.

    Attributes:
        kind: ``COMMAND``, ``ACL`` or ``EVENT``.
        received: whether the host received it.
        data: the packet without the byte of its kind.
        cut: how many bytes the log leaves out at its end; in btsnoop only.
        dropped: how many packets the log has lost so far; in btsnoop only.
    """

    kind: int
    received: bool
    data: bytes
    cut: int = 0
    dropped: int = 0


def raw_address(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))[::-1]


def event(code: int, parameters: bytes) -> Packet:
    return Packet(EVENT, True, bytes((code, len(parameters))) + parameters)


def connected(connection: int, address: str, *, status: int = 0, role: int = 0) -> Packet:
    """LE Connection Complete; role 0: the host is the central."""
    parameters = struct.pack("<BBHBB", 0x01, status, connection, role, 1) + raw_address(address)
    return event(0x3E, parameters + struct.pack("<HHHB", 24, 0, 72, 0))


def disconnected(connection: int, reason: int) -> Packet:
    return event(0x05, struct.pack("<BHB", 0, connection, reason))


def advertising(address: str, data: bytes, rssi: int) -> Packet:
    """LE Advertising Report with one report."""
    head = bytes((0x02, 1, 0x00, 1)) + raw_address(address) + bytes((len(data),))
    return event(0x3E, head + data + struct.pack("b", rssi))


def structure(kind: int, data: bytes) -> bytes:
    """Return a structure of an advertisement."""
    return bytes((len(data) + 1, kind)) + data


def acl(
    connection: int, frame: bytes, *, received: bool, channel: int = ATT, fragment: int = 251
) -> list[Packet]:
    """Return an L2CAP frame in ACL packets of at most ``fragment`` bytes."""
    whole = struct.pack("<HH", len(frame), channel) + frame
    packets: list[Packet] = []
    for at in range(0, len(whole), fragment):
        part = whole[at : at + fragment]
        # The boundary flag: continues, or starts; the controller's starts have another number.
        boundary = 1 if at else 2 if received else 0
        head = struct.pack("<HH", connection | boundary << 12, len(part))
        packets.append(Packet(ACL, received, head + part))
    return packets


def btsnoop(packets: Iterable[Packet], link_type: int = 1002, *, step_us: int = 1000) -> bytes:
    """Return a file with a packet each ``step_us``."""
    out = b"btsnoop\0" + struct.pack(">II", 1, link_type)
    for number, packet in enumerate(packets):
        flags = packet.received | (packet.kind != ACL) << 1
        data = packet.data
        if link_type == 1002:
            data = bytes((packet.kind,)) + data
        elif link_type == 2001:
            flags = _MONITOR[packet.kind, packet.received]
        time = BEGINNING_US + number * step_us
        kept, dropped = data[: len(data) - packet.cut], packet.dropped
        out += btsnoop_record(kept, flags, time, original=len(data), dropped=dropped)
    return out


def btsnoop_record(
    data: bytes, flags: int, micros: int, *, original: int | None = None, dropped: int = 0
) -> bytes:
    whole = len(data) if original is None else original
    time = (micros + _YEAR_0_US) % 2**64
    return struct.pack(">IIIIQ", whole, len(data), flags, dropped, time) + data


def pcap(
    packets: Iterable[Packet], link_type: int = 201, *, order: str = "<", nanos: bool = False
) -> bytes:
    """Return a file with a packet each millisecond."""
    return pcap_of([_pcap_data(each, link_type) for each in packets], link_type, order, nanos)


def pcap_of(
    records: Iterable[bytes], link_type: int, order: str = "<", nanos: bool = False
) -> bytes:
    """Return a file with records of any link type, one each millisecond."""
    magic = 0xA1B23C4D if nanos else 0xA1B2C3D4
    out = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65_535, link_type)
    for number, data in enumerate(records):
        seconds, micros = divmod(BEGINNING_US + number * 1000, 1_000_000)
        fraction = micros * 1000 if nanos else micros
        out += struct.pack(f"{order}IIII", seconds, fraction, len(data), len(data)) + data
    return out


def pcapng(packets: Iterable[Packet], link_type: int = 201, *, order: str = "<") -> bytes:
    return pcapng_of([_pcap_data(each, link_type) for each in packets], link_type, order)


def pcapng_of(records: Iterable[bytes], link_type: int, order: str = "<") -> bytes:
    """Return a file with one interface that counts milliseconds, and a comment for each packet."""
    out = _block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    # Option 9: units of 10^-6 s.
    resolution = struct.pack(f"{order}HHB3xI", 9, 1, 6, 0)
    out += _block(order, 1, struct.pack(f"{order}HHI", link_type, 0, 0) + resolution)
    comment = struct.pack(f"{order}HH8sI", 1, 5, b"hello\0\0\0", 0)
    for number, data in enumerate(records):
        time = BEGINNING_US + number * 1000
        head = (0, time >> 32, time & 0xFFFFFFFF, len(data), len(data))
        body = struct.pack(f"{order}IIIII", *head) + data + bytes(-len(data) % 4)
        out += _block(order, 6, body + comment)
    return out


def packetlogger(packets: Iterable[Packet], *, order: str = "<") -> bytes:
    out = b""
    for number, (kind, received, data, *_) in enumerate(packets):
        time = divmod(BEGINNING_US + number * 1000, 1_000_000)
        out += struct.pack(f"{order}IIIB", len(data) + 9, *time, _APPLE[kind, received]) + data
    return out


def _block(order: str, kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack(f"{order}II", kind, size) + body + struct.pack(f"{order}I", size)


def _pcap_data(packet: Packet, link_type: int) -> bytes:
    kind = bytes((packet.kind,))
    if link_type == 187:
        return kind + packet.data
    if link_type == 201:
        return struct.pack(">I", packet.received) + kind + packet.data
    return struct.pack(">HH", 0, _MONITOR[packet.kind, packet.received]) + packet.data
