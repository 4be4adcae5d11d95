"""Stands in for systemd: a datagram socket that receives notifications."""

import select
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

# Far longer than any step here takes; a failing test waits this long.
BOUND_S = 10.0

Message = dict[str, str]


class Listener:
    """A real notification socket; a context manager."""

    def __init__(self, address: str | Path) -> None:
        """Listen at a path, or at an abstract address that begins with "@"."""
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self.address.replace("@", "\0", 1))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def next(self, within_s: float = BOUND_S) -> Message | None:
        """Return the next message, or None if none arrived in time. Blocks its thread."""
        if not select.select([self._socket], [], [], within_s)[0]:
            return None
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def is_silent(self, for_s: float) -> bool:
        """Return whether no message arrives for this long, apart from those already sent."""
        self.discard()
        return self.next(for_s) is None

    def discard(self) -> None:
        """Discard the messages that have arrived so far."""
        while self.next(0) is not None:
            pass

    def until(self, key: str, value: str) -> list[Message]:
        """Read until a message has this value; return all messages read."""
        deadline = time.monotonic() + BOUND_S
        read: list[Message] = []
        while not read or read[-1].get(key) != value:
            message = self.next(max(0.0, deadline - time.monotonic()))
            assert message is not None, (key, value, read)
            read.append(message)
        return read
