"""A packet of a log, whatever file it was in."""

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """What a packet is: the first byte of the UART transport (Core Specification, Vol 4, Part A).

    The kinds of link-layer captures have numbers that HCI does not use.
    """

    COMMAND = 1
    ACL = 2
    SCO = 3
    EVENT = 4
    ISO = 5
    LINK_LAYER = 0x100
    LINK_LAYER_PHDR = 0x101
    NORDIC = 0x102
    OTHER = 0x1FF


AIR = frozenset((Kind.LINK_LAYER, Kind.LINK_LAYER_PHDR, Kind.NORDIC))
"""The kinds of packets of captures of the air."""


class Packet(NamedTuple):
    """A packet.

    Attributes:
        number: its number in the file, from 1.
        offset: where its record begins in the file.
        micros: its time in microseconds since 1970, UTC.
        kind: a ``Kind``.
        received: whether the host received it; None if the file does not say.
        data: the packet without the byte that says its kind.
        cut: how many of its bytes the logging program left out.
        adapter: the number of the adapter, or of the interface.
        dropped: how many packets the logging program has lost before this one.
    """

    number: int
    offset: int
    micros: int
    kind: int
    received: bool | None
    data: bytes
    cut: int = 0
    adapter: int = 0
    dropped: int = 0

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"packet {self.number} at byte {self.offset}"
