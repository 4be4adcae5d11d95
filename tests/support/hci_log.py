"""Builds logs of HCI packet by packet, by the layouts of the Core Specification."""

import struct
from pathlib import Path

# 2026-11-24T00:00:00Z in microseconds since the year 0.
_START = 0x00DCDDB30F2F8000 + 1_795_478_400_000_000

ADDRESS = "02:00:5E:10:00:01"


class HciLog:
    """A btsnoop log of packets of UART; each packet is a millisecond after the one before."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self._micros = _START

    @property
    def content(self) -> bytes:
        return b"btsnoop\0" + struct.pack(">II", 1, 1002) + b"".join(self.records)

    def save(self, folder: Path) -> Path:
        file = folder / "log.btsnoop"
        file.write_bytes(self.content)
        return file

    def add(
        self,
        packet: bytes,
        *,
        received: bool,
        original: int | None = None,
        drops: int = 0,
        after_ms: int = 1,
    ) -> None:
        self._micros += after_ms * 1000
        size = len(packet)
        head = struct.pack(">IIIIQ", original or size, size, received, drops, self._micros)
        self.records.append(head + packet)

    def event(self, code: int, parameters: bytes) -> None:
        self.add(bytes((4, code, len(parameters))) + parameters, received=True)

    def connect(self, handle: int = 0x40, address: str = ADDRESS, *, role: int = 0) -> None:
        raw = bytes.fromhex(address.replace(":", ""))[::-1]
        # LE Connection Complete (Vol 4, Part E, 7.7.65.1).
        made = struct.pack("<BBHBB6sHHHB", 1, 0, handle, role, 1, raw, 24, 0, 400, 0)
        self.event(0x3E, made)

    def disconnect(self, reason: int, handle: int = 0x40) -> None:
        self.event(0x05, struct.pack("<BHB", 0, handle, reason))

    def frame(
        self,
        frame: bytes,
        *,
        received: bool,
        handle: int = 0x40,
        sizes: tuple[int, ...] = (),
    ) -> list[bytes]:
        """Return the packets of one frame, cut after these sizes."""
        parts, rest = list[bytes](), frame
        for size in sizes:
            parts.append(rest[:size])
            rest = rest[size:]
        parts.append(rest)
        start = 2 if received else 0
        return [
            struct.pack("<BHH", 2, handle | (1 if at else start) << 12, len(part)) + part
            for at, part in enumerate(parts)
        ]

    def att(
        self,
        text: str,
        *,
        received: bool,
        handle: int = 0x40,
        sizes: tuple[int, ...] = (),
        channel: int = 4,
    ) -> None:
        """Add a PDU of ATT, written in hex."""
        pdu = bytes.fromhex(text)
        frame = struct.pack("<HH", len(pdu), channel) + pdu
        for packet in self.frame(frame, received=received, handle=handle, sizes=sizes):
            self.add(packet, received=received)

    def ask(self, request: str, answer: str, *, handle: int = 0x40) -> None:
        self.att(request, received=False, handle=handle)
        self.att(answer, received=True, handle=handle)

    def discover_strap(self, handle: int = 0x40) -> None:
        """Discover the heart rate service: 2a37 at 3 with its CCCD at 4, and 2a38 at 6."""
        self.ask("10 0100 ffff 0028", "11 06 0100 0600 0d18", handle=handle)
        self.ask("10 0700 ffff 0028", "01 10 0700 0a", handle=handle)
        self.ask("08 0100 0600 0328", "09 07 0200 10 0300 372a 0500 02 0600 382a", handle=handle)
        self.ask("04 0400 0400", "05 01 0400 0229", handle=handle)
