"""Connections that cannot be made: what is wrong, how long it takes, and what stays open."""

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha1

import pytest

from healthd.mqtt.connecting import connect
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ConnectionLost
from tests.support.mosquitto import HOST

BOUND_S = 30.0


@dataclass
class Server:
    """Answers each connection with the same bytes, and then waits for its end."""

    answer: bytes = b""
    port: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(1)
            self.asked.set()
            writer.write(self.answer)
            while await reader.read(1024):
                pass
        self.left.set()
        writer.close()


@asynccontextmanager
async def serving(answer: bytes = b"") -> AsyncGenerator[Server]:
    known = Server(answer)
    server = await asyncio.start_server(known.serve, HOST, 0)
    known.port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(BOUND_S), server:
        yield known


def endpoint(
    port: int, host: str = HOST, *, tls: bool = False, path: str | None = None
) -> Endpoint:
    context = ssl.create_default_context() if tls else None
    return Endpoint(host, port, "5", "gateway-7", tls=context, path=path)


async def fault(wanted: Endpoint, timeout_s: float = 3.0) -> ConnectionLost:
    with pytest.raises(ConnectionLost) as caught:
        await connect(wanted, timeout_s)
    return caught.value


@pytest.mark.parametrize(
    ("tls", "path", "waited_for"), [(True, None, "TLS"), (False, "/mqtt", "WebSocket")]
)
async def test_a_server_that_is_silent_is_left_in_time(
    tls: bool, path: str | None, waited_for: str
) -> None:
    async with serving() as server:
        found = await fault(endpoint(server.port, tls=tls, path=path), 0.5)
        assert found.reason == "broker_unreachable"
        assert waited_for in str(found)
        assert found.timed_out
        await server.left.wait()


@pytest.mark.parametrize(("tls", "path"), [(True, None), (False, "/mqtt")])
async def test_a_stop_does_not_wait_for_a_server_that_is_silent(
    tls: bool, path: str | None
) -> None:
    async with serving() as server:
        connecting = asyncio.create_task(connect(endpoint(server.port, tls=tls, path=path), 600))
        await server.asked.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await server.left.wait()


async def test_a_port_without_tls() -> None:
    async with serving(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        found = await fault(endpoint(server.port, tls=True))
    assert found.reason == "tls_failed"
    assert "8883" in found.advice


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept:x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: \xff\r\n\r\n",
    ],
)
async def test_an_answer_that_is_no_websocket(answer: bytes) -> None:
    async with serving(answer) as server:
        found = await fault(endpoint(server.port, path="/mqtt"))
        assert found.reason == "websocket_failed"
        assert "/mqtt" in str(found)
        await server.left.wait()


async def test_a_name_that_cannot_be_one() -> None:
    found = await fault(endpoint(1883, "x" * 70 + ".example"))
    assert found.reason == "broker_unreachable"
    assert "not a host name" in str(found)


async def test_a_ping_over_a_websocket_gets_a_masked_answer() -> None:
    """RFC 6455 section 5.1: a server closes the connection at a frame that is not masked."""
    pong: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"(?i)Sec-WebSocket-Key: (\S+)", request)
        assert key is not None
        accepted = b64encode(sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
        )
        # A PING of two bytes.
        writer.write(bytes.fromhex("89 02 6869"))
        pong.set_result(await reader.readexactly(8))
        writer.close()

    server = await asyncio.start_server(serve, HOST)
    async with asyncio.timeout(BOUND_S), server:
        port = server.sockets[0].getsockname()[1]
        connection = await connect(Endpoint(HOST, port, "5", "id", path="/mqtt"), BOUND_S)
        with suppress(BlockingIOError):  # no data for MQTT has arrived
            await asyncio.to_thread(connection.stream.recv, 1024)
        frame = await pong
        connection.close()
    mask = frame[2:6]
    assert frame[:2] == bytes((0x8A, 0x80 | 2))
    assert bytes(byte ^ mask[index] for index, byte in enumerate(frame[6:])) == b"hi"
