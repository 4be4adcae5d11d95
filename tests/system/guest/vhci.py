"""The kernel's end of the virtual adapter."""

import asyncio
import os
from contextlib import suppress
from typing import Protocol

_DEVICE = "/dev/vhci"
# The driver's own packets: the first one written asks for a controller, of type 0 (primary).
_VENDOR = 0xFF
_PRIMARY = 0x00
# Larger than any HCI packet.
_READ_SIZE = 4096


class _Host(Protocol):
    def on_packet(self, packet: bytes) -> None: ...


class Vhci:
    """The kernel's side of the adapter: one packet for each read and each write."""

    def __init__(self, controller: _Host) -> None:
        """Plug the adapter in; what the kernel sends goes to the controller."""
        self._controller = controller
        self._fd: int | None = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK)
        os.write(self._fd, bytes([_VENDOR, _PRIMARY]))
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    async def close(self) -> None:
        """Pull the adapter out."""
        if (fd := self._fd) is not None:
            self._fd = None
            asyncio.get_running_loop().remove_reader(fd)
            # In a thread, because the kernel ends all links before it returns.
            await asyncio.to_thread(os.close, fd)

    def on_packet(self, packet: bytes) -> None:
        """Pass a packet from bumble's controller to the kernel."""
        # Refused while the adapter is down; the packet is dropped, as by a radio that is off.
        # bumble's own transport would close itself permanently.
        if self._fd is not None:
            with suppress(OSError):
                os.write(self._fd, packet)

    def _read(self) -> None:
        if self._fd is None:
            return
        with suppress(BlockingIOError):
            packet = os.read(self._fd, _READ_SIZE)
            if packet and packet[0] != _VENDOR:
                self._controller.on_packet(packet)
