"""A short log of a heart rate strap with all that ATT can say, and the lines that it means."""

import struct
from datetime import UTC, datetime
from typing import Any, NamedTuple

from healthd.traffic.lines import (
    Advertised,
    Characteristic,
    Connected,
    Descriptor,
    Disconnected,
    Discovered,
    Line,
    MtuAgreed,
    Notified,
    Read,
    Service,
    Subscribed,
    Written,
    at,
)
from tests.support.air_log import (
    CONTINUES,
    CONTROL,
    LINK_LAYER,
    LINK_LAYER_PHDR,
    NORDIC,
    AirLink,
    advertisement,
    connection,
    nordic,
    with_header,
)
from tests.support.radio_log import (
    BEGINNING_US,
    Packet,
    acl,
    advertising,
    connected,
    disconnected,
    pcap_of,
    pcapng_of,
    structure,
)

STRAP, PHONE = "C0:11:22:33:44:55", "C2:00:5E:10:00:02"
CONNECTION = 0x0040
MTU = 23
LONG = bytes(range(1, 51))
SERVICES = (
    Service(
        uuid="180d",
        handle=1,
        characteristics=(
            Characteristic(
                uuid="2a37",
                handle=3,
                properties=("notify",),
                descriptors=(Descriptor(uuid="2902", handle=4),),
            ),
            Characteristic(uuid="2a38", handle=6, properties=("read",)),
        ),
    ),
    Service(
        uuid="fb005c80-02e7-f387-1cad-8acd2d8df0c8",
        handle=16,
        characteristics=(
            Characteristic(
                uuid="fb005c81-02e7-f387-1cad-8acd2d8df0c8",
                handle=18,
                properties=("read", "write", "indicate"),
            ),
        ),
    ),
)


class StrapLog:
    """Packets and the lines that they mean, added step by step.

    Attributes:
        packets: of HCI.
        expected: the lines after the start, for a packet each millisecond.
    """

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.expected: list[Line] = []

    def asks(self, pdu: bytes) -> None:
        """Let the host send a PDU."""
        self.packets += acl(CONNECTION, pdu, received=False)

    def says(self, pdu: bytes, *, fragment: int = 251) -> None:
        """Let the strap send a PDU."""
        self.packets += acl(CONNECTION, pdu, received=True, fragment=fragment)

    def means(self, kind: type, **fields: Any) -> None:
        """Expect a line at the time of the last packet."""
        t = (len(self.packets) - 1) / 1000
        micros = BEGINNING_US + (len(self.packets) - 1) * 1000
        seconds, rest = divmod(micros, 1_000_000)
        time = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
        of = {"device": STRAP} if kind is Advertised else {"device": STRAP, "link": 1}
        self.expected.append(kind(**at(t, time), **of, **fields))


def strap_log() -> StrapLog:
    """Return the log."""
    log = StrapLog()
    data = structure(0x03, bytes.fromhex("0d18")) + structure(0x09, b"Strap \xc3\xa9")
    data += structure(0xFF, bytes.fromhex("6b00a1b2"))
    log.packets.append(advertising(STRAP, data, -60))
    log.means(
        Advertised,
        name="Strap é",
        rssi_dbm=-60,
        services=("180d",),
        manufacturer_data={"006b": b"\xa1\xb2"},
    )
    log.packets.append(connected(CONNECTION, STRAP))
    log.means(Connected)
    log.asks(bytes.fromhex("02f700"))
    log.says(bytes.fromhex("031700"))
    log.means(MtuAgreed, mtu=MTU)
    _discovery(log)
    _reads(log)
    _writes(log)
    _values(log)
    log.packets.append(disconnected(CONNECTION, 0x08))
    log.means(Disconnected, reason="connection timeout", code=0x08)
    return log


def _discovery(log: StrapLog) -> None:
    log.asks(bytes.fromhex("100100ffff0028"))
    log.says(bytes.fromhex("110601000a000d18"))
    log.asks(bytes.fromhex("100b00ffff0028"))
    log.says(bytes.fromhex("11141000ffffc8f08d2dcd8aad1c87f3e702805c00fb"))
    log.asks(bytes.fromhex("080100ffff0328"))
    log.says(bytes.fromhex("09070200100300372a0500020600382a"))
    log.asks(bytes.fromhex("080600ffff0328"))
    log.says(bytes.fromhex("091511002a1200c8f08d2dcd8aad1c87f3e702815c00fb"))
    log.asks(bytes.fromhex("0812 00ffff0328"))
    log.says(bytes.fromhex("010812000a"))
    log.asks(bytes.fromhex("0404000400"))
    log.says(bytes.fromhex("050104000229"))


def _reads(log: StrapLog) -> None:
    log.asks(bytes.fromhex("0a0600"))
    log.says(bytes.fromhex("0b01"))
    log.means(Discovered, services=SERVICES)
    log.means(Read, uuid="2a38", handle=6, value=b"\x01", took_s=0.001)
    log.asks(bytes.fromhex("0a0600"))
    log.says(bytes.fromhex("010a060005"))
    log.means(
        Read, uuid="2a38", handle=6, error="insufficient authentication", code=5, took_s=0.001
    )
    # A value that is longer than an answer: the rest is read from an offset on.
    size = MTU - 1
    long = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
    log.asks(bytes.fromhex("0a1200"))
    log.says(b"\x0b" + LONG[:size])
    for offset in (size, 2 * size):
        log.asks(b"\x0c" + struct.pack("<HH", 18, offset))
        log.says(b"\x0d" + LONG[offset : offset + size])
    log.means(Read, uuid=long, handle=18, value=LONG, took_s=0.005)


def _writes(log: StrapLog) -> None:
    long = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
    log.asks(bytes.fromhex("1204000100"))
    log.says(b"\x13")
    log.means(Subscribed, uuid="2a37", handle=3, mode="notify", took_s=0.001)
    log.asks(bytes.fromhex("1212000201"))
    log.says(b"\x13")
    log.means(Written, uuid=long, handle=18, value=b"\x02\x01", response=True, took_s=0.001)
    log.asks(bytes.fromhex("52120007"))
    log.means(Written, uuid=long, handle=18, value=b"\x07", response=False)
    log.asks(bytes.fromhex("12120009"))
    log.says(bytes.fromhex("0112120080"))
    log.means(
        Written,
        uuid=long,
        handle=18,
        value=b"\x09",
        response=True,
        error="application error 0x80",
        code=0x80,
        took_s=0.001,
    )
    # A long value: parts that are prepared, then executed together.
    for offset in (0, 18, 36):
        part = struct.pack("<HH", 18, offset) + LONG[offset : offset + 18]
        log.asks(b"\x16" + part)
        log.says(b"\x17" + part)
    log.asks(bytes.fromhex("1801"))
    log.says(b"\x19")
    log.means(Written, uuid=long, handle=18, value=LONG, response=True, took_s=0.001)


def _values(log: StrapLog) -> None:
    for value in (b"\x00\x48", b"\x10\x49\x00\x04", b"\x00\x4a"):
        log.says(b"\x1b\x03\x00" + value)
        log.means(Notified, uuid="2a37", handle=3, value=value)
    log.says(b"\x1b\x03\x00" + b"\x10\x4b\x00\x03", fragment=5)
    log.means(Notified, uuid="2a37", handle=3, value=b"\x10\x4b\x00\x03")
    long = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
    log.says(b"\x1d\x12\x00" + b"\xf0\x01")
    log.means(Notified, uuid=long, handle=18, value=b"\xf0\x01", confirmed=True)
    log.asks(b"\x1e")
    # Several values in one PDU.
    log.says(b"\x23" + bytes.fromhex("03000200004c03000200004d"))
    log.means(Notified, uuid="2a37", handle=3, value=b"\x00\x4c")
    log.means(Notified, uuid="2a37", handle=3, value=b"\x00\x4d")


class StrapAirLog(NamedTuple):
    """The same strap as a sniffer hears it.

    Attributes:
        packets: of the link layer; None, True or False: not on a link, from the strap, or to it.
        values: of the heart rate, with the numbers of the packets that complete them.
    """

    packets: list[tuple[bytes, bool | None]]
    values: list[tuple[int, bytes]]

    def files(self) -> list[bytes]:
        """Return the files of three kinds of sniffers."""
        plain = [data for data, _ in self.packets]
        headed = [with_header(data, from_device=sender) for data, sender in self.packets]
        boards = [nordic(data, from_device=sender) for data, sender in self.packets]
        return [
            pcap_of(plain, LINK_LAYER),
            pcap_of(headed, LINK_LAYER_PHDR),
            pcapng_of(boards, NORDIC),
        ]


def strap_air_log() -> StrapAirLog:
    """Return an advertisement, a link, values (one in two packets) and the end of the link."""
    link = AirLink(0x50655DA2, 0x123456)
    packets: list[tuple[bytes, bool | None]] = [
        (advertisement(STRAP, structure(0x09, b"Strap")), None),
        (connection(PHONE, STRAP, link.access, link.start), None),
    ]
    values: list[tuple[int, bytes]] = []
    for pdu, from_device in (
        (bytes.fromhex("080100ffff0328"), False),
        (bytes.fromhex("09070200100300372a"), True),
    ):
        packets += [(data, from_device) for data in link.att(pdu, from_device=from_device)]
    for value in (b"\x00\x48", b"\x10\x49" + bytes.fromhex("0004") * 12):
        for part in link.att(b"\x1b\x03\x00" + value, from_device=True):
            # The central begins each connection event, here with an empty packet.
            packets += [(link.data(CONTINUES, b"", from_device=False), False), (part, True)]
        values.append((len(packets) - 1, value))
    # A packet that was not acknowledged is sent again, in the next event.
    packets += packets[-2:]
    # LL_TERMINATE_IND: the central disconnects.
    packets.append((link.data(CONTROL, b"\x02\x13", from_device=False), False))
    return StrapAirLog(packets, values)
