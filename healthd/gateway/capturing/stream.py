"""The lines of a capture on their way to a command."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

# In bytes. The busiest sensor makes some 20 kB a second, so a command may stand still for a while.
_LARGEST = 256_000

# One write of the socket.
_PIECE = 32_000


class Stream:
    """A sink that a command reads; what does not fit is left out."""

    def __init__(self) -> None:
        """Start empty."""
        self._lines = deque[bytes]()
        self._size = 0
        self._more = asyncio.Event()

    @property
    def wants_start(self) -> bool:
        """See ``Sink``: a command writes one file."""
        return False

    def begin(self) -> None:
        """See ``Sink``."""

    def put(self, line: bytes) -> bool:
        """See ``Sink``."""
        if self._size + len(line) > _LARGEST:
            return False
        self._lines.append(line)
        self._size += len(line)
        self._more.set()
        return True

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield whole lines as they come, several at once; never ends."""
        while True:
            await self._more.wait()
            piece = list[bytes]()
            size = 0
            while self._lines and size < _PIECE:
                piece.append(line := self._lines.popleft())
                size += len(line)
            self._size -= size
            if not self._lines:
                self._more.clear()
            yield b"".join(piece)
