"""Recognises a file by its first bytes."""

from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from healthd.capture.files import btsnoop, packetlogger, pcap, pcapng
from healthd.capture.files.packet import Packet
from healthd.capture.files.records import Records
from healthd.traffic.codec import BadCapture

_READABLE = (
    "a capture of healthd, btsnoop (Android, btmon), pcap or pcapng of Bluetooth, or Apple's"
    " PacketLogger"
)


class Log(NamedTuple):
    """A log that is read.

    Attributes:
        format: its name.
        packets: its packets; they raise BadCapture where it is damaged.
        records: of a log that ``skim`` can read, what it is read with; None for others.
    """

    format: str
    packets: Iterator[Packet]
    records: Records | None = None


def open_log(file: BinaryIO, on_progress: Callable[[int], None] | None = None) -> Log | None:
    """Return the log in a file; None if it is a capture of healthd.

    Args:
        file: opened for reading, at its beginning; afterwards it is read by the iterator.
        on_progress: called with the number of bytes read so far, now and then.

    Raises:
        BadCapture: it is something else.
    """
    beginning = file.read(packetlogger.SIZE)
    file.seek(0)
    records = Records(file, on_progress)
    if beginning.startswith(btsnoop.MAGIC):
        records.take(len(btsnoop.MAGIC))
        link_type, packets = btsnoop.open_log(records)
        name = "btmon" if link_type == btsnoop.MONITOR else "btsnoop"
        return Log(name, packets, records if link_type == btsnoop.UART else None)
    if (magic := beginning[:4]) in pcap.MAGICS:
        records.take(len(magic))
        return Log("pcap", pcap.packets(records, magic))
    if magic == pcapng.MAGIC:
        records.take(len(magic))
        return Log("pcapng", pcapng.packets(records))
    if beginning.startswith(b"{"):
        return None
    if (layout := packetlogger.order(beginning)) is not None:
        return Log("packetlogger", packetlogger.packets(records, layout))
    found = "an empty file" if not beginning else f"a file that begins with {beginning[:8].hex()}"
    raise BadCapture("byte 0", f"{found}, expected {_READABLE}")
