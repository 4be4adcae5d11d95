"""Client id, ALPN, WebSockets and client certificates, with real TLS and WebSocket brokers."""

import asyncio
import ssl
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.endpoints import Endpoint, endpoints
from healthd.mqtt.faults import ConnectionLost
from healthd.mqtt.topics import Topics
from healthd.settings.model import Settings
from tests.brokers.responder import Responder
from tests.support.certificates import Authority, needs_openssl
from tests.support.mosquitto import HOST, StartMosquitto, free_port, needs_mosquitto

BOUND_S = 30.0

# More than a socket takes at once: the rest of a frame has to be sent later.
LARGE = b"x" * 3_000_000


def endpoint(**mqtt: Any) -> Endpoint:
    settings = Settings.model_validate({"gateway": {"id": "home"}, "mqtt": mqtt})
    (found,) = endpoints(settings, Topics("healthd", "home"), {})
    return found


def refused(caught: pytest.ExceptionInfo[ConnectionLost], reason: str, *texts: str) -> None:
    assert caught.value.reason == reason
    for text in texts:
        assert text in str(caught.value)


async def test_the_client_id_of_the_settings_is_used() -> None:
    async with asyncio.timeout(BOUND_S), Responder() as broker:
        async with AckedClient(endpoint(brokers=[broker.address], client_id="meter-7")) as client:
            await client.send("t", b"")
        assert broker.connections[0].connect is not None
        assert broker.connections[0].connect.client_id == "meter-7"


@needs_openssl
class TestAlpn:
    """Brokers that serve MQTT and HTTPS on port 443 distinguish them by ALPN."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> ssl.SSLContext:
        """A server that speaks MQTT only to clients that ask for it."""
        certificate, key = Authority(tmp_path, "authority").issue("localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["x-amzn-mqtt-ca"])
        return context

    @pytest.mark.parametrize("alpn", ["x-amzn-mqtt-ca", ["mqtt", "x-amzn-mqtt-ca"]])
    async def test_the_protocol_is_negotiated(
        self, server: ssl.SSLContext, tmp_path: Path, alpn: object
    ) -> None:
        async with asyncio.timeout(BOUND_S), Responder(tls=server) as broker:
            mine = endpoint(
                brokers=[f"mqtts://localhost:{broker.port}"],
                ca_file=str(tmp_path / "authority.crt"),
                alpn=alpn,
            )
            async with AckedClient(mine) as client:
                await client.send("t", b"")
                tls = client._connection.socket  # pyright: ignore
                assert isinstance(tls, ssl.SSLSocket)
                assert tls.selected_alpn_protocol() == "x-amzn-mqtt-ca"

    def test_websockets_do_not_ask_for_mqtt(self) -> None:
        assert endpoint(brokers=["wss://a.example"], alpn="mqtt").alpn == ()
        assert endpoint(brokers=["mqtts://a.example"], alpn="mqtt").alpn == ("mqtt",)


@needs_mosquitto
@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_websocket(mosquitto: StartMosquitto, version: str) -> None:
    port = free_port()
    broker = await mosquitto(f"allow_anonymous true\nlistener {port} {HOST}\nprotocol websockets")
    mine = endpoint(brokers=[f"ws://{HOST}:{port}/mqtt"], version=version)
    async with (
        asyncio.timeout(BOUND_S),
        AckedClient(mine) as client,
        aclosing(client.received()) as messages,
    ):
        await client.subscribe_to("t/#")
        many = [client.send("t/many", b"%d" % number) for number in range(200)]
        await asyncio.gather(*many)
        assert [(await anext(messages)).payload for _ in many] == [
            b"%d" % number for number in range(200)
        ]
    await broker.logged(f"Client {mine.client_id} disconnected.")


@needs_mosquitto
async def test_a_websocket_loses_nothing_if_the_broker_reads_slowly(
    mosquitto: StartMosquitto,
) -> None:
    port = free_port()
    broker = await mosquitto(f"allow_anonymous true\nlistener {port} {HOST}\nprotocol websockets")
    async with (
        asyncio.timeout(BOUND_S),
        AckedClient(endpoint(brokers=[f"ws://{HOST}:{port}"])) as client,
    ):
        broker.freeze()
        sent = [client.send(f"t/{number}", LARGE) for number in range(5)]
        sent += [client.send("t/small", b"%d" % number) for number in range(5)]
        await asyncio.wait(sent, timeout=0.5)
        broker.thaw()
        assert await asyncio.gather(*sent) == [None] * 10


@needs_mosquitto
@needs_openssl
async def test_a_websocket_with_tls(mosquitto: StartMosquitto, tmp_path: Path) -> None:
    authority, port = Authority(tmp_path, "authority"), free_port()
    certificate, key = authority.issue("localhost")
    await mosquitto(
        f"allow_anonymous true\nlistener {port} {HOST}\nprotocol websockets\n"
        f"certfile {certificate}\nkeyfile {key}"
    )
    mine = endpoint(brokers=[f"wss://localhost:{port}/mqtt"], ca_file=str(authority.certificate))
    async with (
        asyncio.timeout(BOUND_S),
        AckedClient(mine) as client,
        aclosing(client.received()) as messages,
    ):
        await client.subscribe_to("t")
        # TLS hands over more than a reader asks for; what it keeps must not be forgotten.
        sent = [client.send("t", b"y" * 1000) for _ in range(50)]
        await asyncio.gather(*sent)
        assert [len((await anext(messages)).payload) for _ in sent] == [1000] * 50


@needs_mosquitto
async def test_a_port_without_websockets(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    async with asyncio.timeout(BOUND_S):
        with pytest.raises(ConnectionLost) as caught:
            async with AckedClient(endpoint(brokers=[f"ws://{broker.address}/mqtt"])):
                pass
    refused(caught, "websocket_failed", "/mqtt", "port and path")


async def test_an_http_server_without_websockets() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with asyncio.timeout(BOUND_S), server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionLost) as caught:
            async with AckedClient(endpoint(brokers=[f"ws://{HOST}:{port}/elsewhere"])):
                pass
    refused(caught, "websocket_failed", "/elsewhere")


@needs_mosquitto
@needs_openssl
@pytest.mark.parametrize("days", [-1, None], ids=["expired", "missing"])
async def test_a_client_certificate_that_the_broker_refuses(
    mosquitto: StartMosquitto, tmp_path: Path, days: int | None
) -> None:
    """With TLS 1.3 its alert comes after the handshake, in place of the CONNACK."""
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("localhost")
    broker = await mosquitto(
        f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}\n"
        f"cafile {authority.certificate}\nrequire_certificate true"
    )
    mqtt: dict[str, Any] = {"tls": True, "ca_file": str(authority.certificate)}
    if days is not None:
        mine, its_key = authority.issue("gateway", days=days)
        mqtt |= {"cert_file": str(mine), "key_file": str(its_key)}
    since = time.monotonic()
    async with asyncio.timeout(BOUND_S):
        with pytest.raises(ConnectionLost) as caught:
            async with AckedClient(endpoint(brokers=[f"localhost:{broker.port}"], **mqtt)):
                pass
    alert = "certificate required" if days is None else "certificate expired"
    refused(caught, "tls_refused", "closed the connection before it answered", alert, "cert_file")
    assert time.monotonic() - since < 3, "it has not waited for an answer"
