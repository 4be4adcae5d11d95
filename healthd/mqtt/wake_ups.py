"""Which data from the broker wakes the process: a few acknowledgements of live samples do not.

An acknowledgement comes within milliseconds of its sample, when the process has just gone to sleep,
and to wake it costs more than everything else about the acknowledgement. So it stays in the socket
until the next sample is written, until there are several, or for a second. That halves the wake-ups
of a gateway, and takes a third of its CPU away.

The kernel does the work: with SO_RCVLOWAT a socket counts as readable only once it holds that many
bytes, or has ended (socket(7), tcp(7)). Anything longer, such as a request, wakes the process at
once. Answers that someone waits for are as short, and are read at once, too; see ``at_once``.
"""

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

# An acknowledgement takes 4 bytes, 6 in a WebSocket: up to four of them wait. The shortest request
# has 23: its header and packet identifier, and the topic "h/g/request/stop".
_BYTES = 20

# In a record of TLS 1.3 it takes 26 bytes, in one of TLS 1.2 up to 33 with the usual ciphers: one
# waits. The shortest request takes 45.
_TLS_BYTES = 40

# A broker that lets fewer messages be unacknowledged than this waits for each acknowledgement.
_LEAST_WINDOW = 8

LATEST_S = 1.0
"""How long an acknowledgement may stay in the socket. Only a sample that is unacknowledged for
longer, 1.7 s, goes to the disk."""

# Everything was read just now, so the timer is moved: not each time, which would cost more.
_MOVE_S = LATEST_S / 2


class WakeUps:
    """Sets when the socket of one connection wakes the event loop.

    Attributes:
        are_rare: whether a few acknowledgements stay in the socket now.
    """

    def __init__(self, read: Callable[[], bool]) -> None:
        """Prepare; until ``use`` is called, all data wakes the event loop.

        Args:
            read: reads everything that has arrived; returns whether there are samples that are not
                acknowledged.
        """
        self.are_rare = False
        self._read = read
        self._socket: socket.socket | None = None
        self._bytes = 1
        self._urgent = 0
        self._timer: asyncio.TimerHandle | None = None

    def use(self, connection: socket.socket, window: int, *, is_encrypted: bool) -> None:
        """Use this socket from now on.

        Args:
            connection: the socket.
            window: how many messages may be unacknowledged at a time.
            is_encrypted: whether it is read through TLS.
        """
        if window >= _LEAST_WINDOW:
            self._socket = connection
            self._bytes = _TLS_BYTES if is_encrypted else _BYTES

    def put_off(self) -> None:
        """Let acknowledgements stay in the socket for a while, unless another answer is awaited."""
        if self.are_rare or self._urgent or self._socket is None:
            return
        self.are_rare = True
        self._limit(self._bytes)
        self._timer = asyncio.get_running_loop().call_later(LATEST_S, self._on_timer)

    def postpone(self) -> None:
        """Note that everything that had arrived was read just now."""
        if self._timer is None:
            return
        loop = asyncio.get_running_loop()
        if self._timer.when() - loop.time() < _MOVE_S:
            self._timer.cancel()
            self._timer = loop.call_later(LATEST_S, self._on_timer)

    def restore(self) -> None:
        """Let all data wake the event loop again."""
        if self.are_rare:
            self.are_rare = False
            self._limit(1)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    @contextmanager
    def at_once(self) -> Generator[None]:
        """Let all data wake the event loop during the block: an answer is awaited."""
        self.restore()
        self._urgent += 1
        try:
            yield
        finally:
            self._urgent -= 1

    def _on_timer(self) -> None:
        self._timer = None
        if self._read() and self.are_rare:
            self._timer = asyncio.get_running_loop().call_later(LATEST_S, self._on_timer)
        else:
            self.restore()

    def _limit(self, size: int) -> None:
        assert self._socket is not None, "only a socket is limited"
        # It may be closed already.
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
