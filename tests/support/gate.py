"""A proxy in front of a broker, to cut connections while the broker keeps running."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.mosquitto import HOST, free_port

_BYTES = 65536


class Gate:
    """Forwards bytes to a broker while it is open; an async context manager, closed at first.

    Attributes:
        port: to connect to instead of the broker's.
    """

    def __init__(self, broker_port: int) -> None:
        """Prepare a proxy for the broker at this port."""
        self.port = free_port()
        self._broker_port = broker_port
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._to_broker, self._from_broker = asyncio.Event(), asyncio.Event()

    @property
    def address(self) -> str:
        """``host:port``, as in the settings."""
        return f"{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        """Return the proxy, still closed: nothing listens on its port."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cut all connections."""
        await self.cut()

    async def open(self) -> None:
        """Accept and forward connections."""
        self.release()
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    def hold(self, *, answers_alone: bool = False) -> None:
        """Hold back all bytes, or only those from the broker; connections stay open."""
        self._from_broker.clear()
        if not answers_alone:
            self._to_broker.clear()

    def release(self) -> None:
        """Forward what was held back, and everything after it."""
        self._to_broker.set()
        self._from_broker.set()

    async def cut(self) -> None:
        """Break every connection at once, and refuse new ones."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        writers = [writer]
        try:
            inner_reader, inner_writer = await asyncio.open_connection(HOST, self._broker_port)
            writers.append(inner_writer)
            pumps = [
                _pump(reader, inner_writer, self._to_broker),
                _pump(inner_reader, writer, self._from_broker),
            ]
            tasks = [asyncio.create_task(pump) for pump in pumps]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task_ in tasks:
                    task_.cancel()
        except asyncio.CancelledError:
            # asyncio's stream server would log it as an error.
            pass
        finally:
            for opened in writers:
                opened.transport.abort()
            self._passing.discard(task)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_BYTES):
            await flowing.wait()
            writer.write(data)
            await writer.drain()
