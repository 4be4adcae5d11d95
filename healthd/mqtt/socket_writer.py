"""Writes to a broker's socket where data is sent, instead of in a later turn of the event loop.

Waking the loop takes three system calls, and making it wait for room in the socket two more:
together a tenth of the CPU at a heart-rate strap's pace.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol


class Output(Protocol):
    """The part of paho's client that writes."""

    def loop_write(self) -> Any:
        """Write pending data, as much as the socket has room for."""
        ...

    def want_write(self) -> bool:
        """Return whether there is data left to write."""
        ...


class SocketWriter:
    """Writes the pending data of one client.

    Attributes:
        paused: whether requests to write are ignored; its owner then calls ``flush``.
    """

    def __init__(
        self,
        output: Output,
        loop: asyncio.AbstractEventLoop,
        on_error: Callable[[Exception], None],
    ) -> None:
        """Wire it.

        Args:
            output: the client.
            loop: the event loop that waits for room in the socket.
            on_error: called with the error if a write fails.
        """
        self._output = output
        self._loop = loop
        self._on_error = on_error
        self._waits_for_room = False
        self.paused = False

    def request(self, sock: Any) -> None:
        """Write soon; may be called from another thread."""
        if not self.paused:
            self._loop.call_soon_threadsafe(self.flush, sock)

    def flush(self, sock: Any) -> None:
        """Write pending data; leave to the loop only what the socket has no room for."""
        # aiomqtt can close the socket between the request and this call; asyncio would then log an
        # error for every broken connection.
        if sock is None or sock.fileno() < 0:
            return
        self._write()
        if self._output.want_write() and sock.fileno() >= 0:
            self._waits_for_room = True
            self._loop.add_writer(sock.fileno(), self._write)

    def stop(self, sock: Any) -> None:
        """Stop waiting for room: everything is written, or the socket closes."""
        if self._waits_for_room:
            self._waits_for_room = False
            self._loop.remove_writer(sock.fileno())

    def _write(self) -> None:
        try:
            self._output.loop_write()
        except Exception as error:
            self._on_error(error)
