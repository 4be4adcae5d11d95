"""The way to a broker, which a test opens and cuts while the broker and its subscribers live on."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.mosquitto import HOST, free_port

_BYTES = 65536


class Gate:
    """Passes bytes on to a broker while it is open; an async context manager, closed at first.

    Attributes:
        port: to connect to instead of the broker's.
    """

    def __init__(self, broker_port: int) -> None:
        """Lead to the broker at this port."""
        self.port = free_port()
        self._broker_port = broker_port
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._there, self._back = asyncio.Event(), asyncio.Event()

    @property
    def address(self) -> str:
        """``host:port``, as the settings have it."""
        return f"{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        """Stay closed: nobody listens."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cut."""
        await self.cut()

    async def open(self) -> None:
        """Let connections through."""
        self._there.set()
        self._back.set()
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    def hold(self, *, answers_alone: bool = False) -> None:
        """Pass nothing on, or nothing of what the broker sends; connections stay as they are."""
        self._back.clear()
        if not answers_alone:
            self._there.clear()

    async def cut(self) -> None:
        """End every connection, whatever is under way, and refuse new ones."""
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
                _pump(reader, inner_writer, self._there),
                _pump(inner_reader, writer, self._back),
            ]
            tasks = [asyncio.create_task(pump) for pump in pumps]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in tasks:
                    one.cancel()
        except asyncio.CancelledError:
            # asyncio's stream server would report it as a failure of ours.
            pass
        finally:
            for one in writers:
                one.transport.abort()
            self._passing.discard(task)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_BYTES):
            await flowing.wait()
            writer.write(data)
            await writer.drain()
