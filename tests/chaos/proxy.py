"""The network between daemon and broker: cut, refused, silent, slow, or one byte at a time."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.chaos.evidence import Key
from tests.chaos.ledger import key_of
from tests.chaos.wire import CONNECT, PUBACK, PUBLISH, Packets, acknowledged, client_id, published
from tests.support.mosquitto import HOST, free_port

_CHUNK = 65536
# More than a connection has on its way in a second of latency.
_CHUNKS = 10_000

_Arrived = asyncio.Queue[tuple[float, bytes]]


class Proxy:
    """Stands on a port of its own in front of a broker; an async context manager.

    It reads along: which samples pass, and which of them are acknowledged to the daemon.

    Attributes:
        port: where it listens, while it does.
        delay_s: each chunk is held for this long, in each direction.
        one_byte: bytes go out one by one.
        client_id: of the client that connected last.
        passed: bytes that went through.
        refused: PUBACKs with a failure code that went through.
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
        """Cut what is connected, and refuse everything else: nobody listens any more."""
        assert self._server is not None, "it refuses already"
        self._server.close()
        self._server = None
        self.cut()
        with suppress(ConnectionRefusedError):
            _, writer = await asyncio.open_connection(HOST, self.port)
            writer.close()
            raise AssertionError("the port still accepts")

    def cut(self) -> int:
        """Reset every connection; how many there were (both sides count)."""
        there = len(self._writers)
        for writer in self._writers:
            # With this a close is a reset, and what was not sent yet is thrown away.
            connection: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):  # it is closed already
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return there

    def hold(self) -> None:
        """Become a black hole: connections stand and are made, and nothing passes."""
        self._open.clear()

    def release(self) -> None:
        """Let everything pass, also what was held."""
        self._open.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
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
            see = _Sniffer(self)
            carriers = [
                # What is sent is known before it can be answered; an answer once it was passed on.
                asyncio.create_task(self._carry(reader, broker, before=see.on_sent)),
                asyncio.create_task(self._carry(replies, writer, after=see.on_reply)),
            ]
            await asyncio.wait(carriers, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # no broker there: the client sees its connection end
        finally:
            for task in carriers:
                task.cancel()
            for one in writers:
                self._writers.discard(one)
                one.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        before: Callable[[bytes], None] = lambda _chunk: None,
        after: Callable[[bytes], None] = lambda _chunk: None,
    ) -> None:
        arrived: _Arrived = asyncio.Queue(_CHUNKS)
        receiving = asyncio.create_task(self._receive(reader, arrived))
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
            pass  # one side is gone, so the other one is hung up on
        finally:
            receiving.cancel()

    async def _receive(self, reader: asyncio.StreamReader, arrived: _Arrived) -> None:
        loop = asyncio.get_running_loop()
        chunk = b"nothing yet"
        while chunk:
            try:
                chunk = await reader.read(_CHUNK)
            except OSError:
                chunk = b""
            await arrived.put((loop.time(), chunk))

    def note(self, key: Key | None, taken: bool) -> None:
        """A PUBACK went to the daemon."""
        self.refused += not taken
        if key is not None and taken:
            self._on_acknowledged(key)


class _Sniffer:
    """Reads one connection along."""

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
                mid, taken = acknowledged(packet)
                self._proxy.note(self._unacknowledged.pop(mid, None), taken)
