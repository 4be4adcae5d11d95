"""A TCP proxy between daemon and broker that can cut, refuse, hold, delay or split the data."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.chaos.ledger import key_of
from tests.chaos.observations import Key
from tests.chaos.wire import CONNECT, PUBACK, PUBLISH, Packets, acknowledged, client_id, published
from tests.support.mosquitto import HOST, free_port

_CHUNK = 65536
# More chunks than a connection has in transit with a second of latency.
_CHUNKS = 10_000

_Arrived = asyncio.Queue[tuple[float, bytes]]


class Proxy:
    """A proxy in front of a broker; an async context manager.

    It parses the MQTT packets to find the samples that the broker has acknowledged to the daemon.

    Attributes:
        port: The port on which it listens.
        delay_s: The delay of each chunk in each direction.
        one_byte: Whether bytes are sent one by one.
        client_id: The id of the client that connected last.
        passed: The number of bytes that have passed.
        refused: The number of PUBACKs with a failure code that have passed.
    """

    def __init__(self, broker_port: int, on_acknowledged: Callable[[Key], None]) -> None:
        self.port = free_port()
        self.delay_s = 0.0
        self.one_byte = False
        self.client_id = ""
        self.passed = 0
        self.refused = 0
        self._broker_port = broker_port
        self._on_acknowledged = on_acknowledged
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            await self.refuse()
        self._open.set()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    @property
    def listens(self) -> bool:
        return self._server is not None

    async def listen(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def refuse(self) -> None:
        """Stop listening and cut all connections."""
        assert self._server is not None, "it already refuses connections"
        self._server.close()
        self._server = None
        self.cut()
        with suppress(ConnectionRefusedError):
            _, writer = await asyncio.open_connection(HOST, self.port)
            writer.close()
            raise AssertionError("the port still accepts connections")

    def cut(self) -> int:
        """Reset all connections; return their number, in which each side counts."""
        count = len(self._writers)
        for writer in self._writers:
            # With this option a close is a reset, and data that is not sent yet is discarded.
            connection: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):  # already closed
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return count

    def hold(self) -> None:
        """Hold all data; connections stay open, and new ones are accepted."""
        self._open.clear()

    def release(self) -> None:
        """Forward data again, including the held data."""
        self._open.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="proxy: connection")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        self._writers.add(writer)
        carriers: list[asyncio.Task[None]] = []
        try:
            replies, broker = await asyncio.open_connection(HOST, self._broker_port)
            writers.append(broker)
            self._writers.add(broker)
            parser = _PacketParser(self)
            carriers = [
                # Parse requests before they are forwarded, and replies after they were forwarded.
                asyncio.create_task(
                    self._carry(reader, broker, before=parser.on_sent), name="proxy: to the broker"
                ),
                asyncio.create_task(
                    self._carry(replies, writer, after=parser.on_reply), name="proxy: to the client"
                ),
            ]
            await asyncio.wait(carriers, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # the broker is not running: close the client's connection
        finally:
            for task in carriers:
                task.cancel()
            for open_writer in writers:
                self._writers.discard(open_writer)
                open_writer.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        before: Callable[[bytes], None] = lambda _chunk: None,
        after: Callable[[bytes], None] = lambda _chunk: None,
    ) -> None:
        arrived: _Arrived = asyncio.Queue(_CHUNKS)
        receiving = asyncio.create_task(self._receive(reader, arrived), name="proxy: receive")
        loop = asyncio.get_running_loop()
        try:
            while True:
                since, chunk = await arrived.get()
                await asyncio.sleep(since + self.delay_s - loop.time())
                await self._open.wait()
                if not chunk:
                    break
                before(chunk)
                size = 1 if self.one_byte else len(chunk)
                for start in range(0, len(chunk), size):
                    writer.write(chunk[start : start + size])
                    await writer.drain()
                self.passed += len(chunk)
                after(chunk)
        except OSError:
            pass  # one side is closed, so the other side is closed as well
        finally:
            receiving.cancel()

    async def _receive(self, reader: asyncio.StreamReader, arrived: _Arrived) -> None:
        loop = asyncio.get_running_loop()
        chunk = b"not empty"
        while chunk:
            try:
                chunk = await reader.read(_CHUNK)
            except OSError:
                chunk = b""
            await arrived.put((loop.time(), chunk))

    def note_puback(self, key: Key | None, accepted: bool) -> None:
        """Record that a PUBACK was forwarded to the daemon."""
        self.refused += not accepted
        if key is not None and accepted:
            self._on_acknowledged(key)


class _PacketParser:
    """The parser of the MQTT packets of one connection."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._sent, self._replies = Packets(), Packets()
        self._unacknowledged: dict[int, Key | None] = {}

    def on_sent(self, data: bytes) -> None:
        for packet in self._sent.feed(data):
            if packet.type == CONNECT:
                self._proxy.client_id = client_id(packet)
            elif packet.type == PUBLISH:
                mid, topic, payload = published(packet)
                found = key_of(topic, payload)
                self._unacknowledged[mid] = found[0] if found else None

    def on_reply(self, data: bytes) -> None:
        for packet in self._replies.feed(data):
            if packet.type == PUBACK:
                mid, accepted = acknowledged(packet)
                self._proxy.note_puback(self._unacknowledged.pop(mid, None), accepted)
