"""AckedClient with a real broker: its results match what the broker did."""

import asyncio
import gc
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from healthd.mqtt.acked_client import CONNECT_TIMEOUT_S, AckedClient
from healthd.mqtt.arrivals import Message
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ConnectionLost, PublishRefused, SubscribeRefused
from tests.support.certificates import Authority, needs_openssl
from tests.support.mosquitto import (
    HOST,
    Mosquitto,
    StartMosquitto,
    free_port,
    needs_mosquitto,
    password_file,
)
from tests.support.subscriber import Subscriber, publish

BOUND_S = 10.0
VERSIONS = ["5", "3.1.1"]

# How long a cancelled task, a closed connection and the thread that made it may take to end: there
# is no event for it, and on a busy machine a thread has to wait.
_GONE_S, _POLL_S = 5.0, 0.01


def endpoint_of(broker: Mosquitto, version: str = "5") -> Endpoint:
    return Endpoint(host=HOST, port=broker.port, version=version, client_id="under-test")


class Boom(Exception):
    """Stands for any error that ends a connection's owner."""


def sockets() -> set[str]:
    """Return the sockets that this process has open."""
    links: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            links.append(str(descriptor.readlink()))
    return {link for link in links if link.startswith("socket:")}


def watched() -> set[int]:
    """Return the file descriptors that the event loop watches."""
    loop = cast(Any, asyncio.get_running_loop())
    return set(loop._selector.get_map())


@asynccontextmanager
async def no_leaks() -> AsyncGenerator[None]:
    """Check that the block leaves no sockets, tasks and readers open."""
    before = sockets(), asyncio.all_tasks(), watched()
    yield
    ends_at = asyncio.get_running_loop().time() + _GONE_S
    while True:
        gc.collect()
        after = sockets(), asyncio.all_tasks(), watched()
        left = [new - old for new, old in zip(after, before, strict=True)]
        if not any(left) or asyncio.get_running_loop().time() > ends_at:
            break
        await asyncio.sleep(_POLL_S)
    assert left == [set(), set(), set()]


@needs_mosquitto
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_acknowledgement_resolves_the_publish(
    mosquitto: StartMosquitto, version: str
) -> None:
    broker = await mosquitto()
    async with (
        asyncio.timeout(BOUND_S),
        Subscriber(broker.port) as subscriber,
        AckedClient(endpoint_of(broker, version)) as client,
    ):
        futures = [client.send("t/x", b"%d" % number) for number in range(50)]
        assert await asyncio.gather(*futures) == [None] * 50
        assert client.oldest_unacked_s() == 0.0
        arrived = await subscriber.until(lambda all_: all_ if len(all_) == 50 else None)
    assert [one.payload for one in arrived] == [b"%d" % number for number in range(50)]
    assert {(one.qos, one.retained) for one in arrived} == {(1, False)}
    assert "under-test" in "".join(broker.log)
    spoken = "p5" if version == "5" else "p2"  # as mosquitto logs the protocol of 5 and of 3.1.1
    assert any(f"as under-test ({spoken}" in line for line in broker.log)


@needs_mosquitto
async def test_a_denied_publish_is_refused_and_the_connection_stays_up(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite allowed/#\n")
    broker = await mosquitto(f"allow_anonymous true\nacl_file {acl}")
    async with (
        asyncio.timeout(BOUND_S),
        Subscriber(broker.port) as subscriber,
        AckedClient(endpoint_of(broker)) as client,
    ):
        before = client.send("allowed/1", b"")
        denied = client.send("denied/1", b"")
        after = client.send("allowed/2", b"")
        with pytest.raises(PublishRefused, match=r"(?i)not authorized"):
            await denied
        assert await asyncio.gather(before, after) == [None, None]
        with pytest.raises(PublishRefused):
            await client.send("denied/1", b"again")
        await client.send("allowed/3", b"")
        arrived = await subscriber.until(lambda all_: all_ if len(all_) == 3 else None)
        assert client.oldest_unacked_s() == 0.0
    assert [one.topic for one in arrived] == ["allowed/1", "allowed/2", "allowed/3"]


@needs_mosquitto
async def test_a_publish_that_is_too_large_is_refused_and_the_connection_stays_up(
    mosquitto: StartMosquitto,
) -> None:
    """mosquitto 2.0 answers with a code that MQTT 5 does not list for a PUBACK."""
    broker = await mosquitto("allow_anonymous true\nmessage_size_limit 10")
    async with asyncio.timeout(BOUND_S), AckedClient(endpoint_of(broker)) as client:
        with pytest.raises(PublishRefused, match=r"(?i)too large"):
            await client.send("topic", b"x" * 11)
        await client.send("topic", b"x" * 10)


@needs_mosquitto
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_killed_broker_cancels_unacknowledged_publishes(
    mosquitto: StartMosquitto, version: str
) -> None:
    broker = await mosquitto()
    async with asyncio.timeout(BOUND_S):
        async with no_leaks():
            async with AckedClient(endpoint_of(broker, version)) as client:
                await client.send("t", b"acknowledged")
                broker.freeze()
                pending = [client.send("t", b"%d" % number) for number in range(5)]
                lost = asyncio.create_task(client.lost())
                await broker.kill()
                with pytest.raises(ConnectionLost) as caught:
                    await lost
                assert caught.value.reason == "broker_lost"
                with pytest.raises(ConnectionLost):
                    client.send("t", b"too late")
            await asyncio.wait(pending)
            assert [future.cancelled() for future in pending] == [True] * 5
            assert client.closed.is_set()
            # They refer to the exception's traceback, and so to the client.
            del lost, caught, client, pending


@needs_mosquitto
async def test_a_closed_connection_ends_listen(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    await publish(broker.port, "t", "kept", retain=True)
    async with (
        asyncio.timeout(BOUND_S),
        AckedClient(endpoint_of(broker)) as client,
        aclosing(client.listen("t")) as messages,
    ):
        assert (await anext(messages)).payload == b"kept"
        waiting = asyncio.ensure_future(anext(messages))
        await broker.kill()
        with pytest.raises(ConnectionLost) as caught:
            await waiting
        assert caught.value.reason == "broker_lost"


@needs_mosquitto
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_wrong_password_has_its_own_reason(
    mosquitto: StartMosquitto, tmp_path: Path, version: str
) -> None:
    users = password_file(tmp_path, {"gateway": "right"})
    broker = await mosquitto(f"allow_anonymous false\npassword_file {users}")
    right = replace(endpoint_of(broker, version), username="gateway", password="right")
    async with asyncio.timeout(BOUND_S):
        for wrong in (replace(right, password="wrong"), replace(right, username=None)):
            async with no_leaks():
                with pytest.raises(ConnectionLost) as caught:
                    async with AckedClient(wrong):
                        pass
                assert caught.value.reason == "credentials_refused"
                # A person has to fix it: not tried as often as a broker that is down.
                assert caught.value.backoff.first_s >= 10
                del caught
        async with AckedClient(right) as client:
            await client.send("t", b"")


async def test_a_closed_port_is_unreachable() -> None:
    closed = Endpoint(host=HOST, port=free_port(), version="5", client_id="under-test")
    async with asyncio.timeout(BOUND_S):
        async with no_leaks():
            with pytest.raises(ConnectionLost) as caught:
                async with AckedClient(closed):
                    pass
            assert caught.value.reason == "broker_unreachable"
            del caught


class Mute:
    """A server that accepts connections and never answers."""

    def __init__(self) -> None:
        self.first_bytes = b""
        self.hung_up = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> "Mute":
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.first_bytes = await reader.read(1)
            with suppress(ConnectionError):
                while await reader.read(1024):
                    pass
        finally:
            self.hung_up.set()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_server_that_does_not_answer_is_disconnected_in_time_without_leaks() -> None:
    async with asyncio.timeout(BOUND_S + CONNECT_TIMEOUT_S), Mute() as mute:
        mute_endpoint = Endpoint(host=HOST, port=mute.port, version="5", client_id="under-test")
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with no_leaks():
            with pytest.raises(ConnectionLost) as caught:
                async with AckedClient(mute_endpoint):
                    pass
            took_s = loop.time() - started
            assert caught.value.reason == "broker_unreachable"
            del caught
            # At once, not when a keepalive expires; and the server's end is a socket that must be
            # closed as well.
            async with asyncio.timeout(3):
                await mute.hung_up.wait()
    assert mute.first_bytes == b"\x10"  # CONNECT: the client waited for an answer to it
    assert CONNECT_TIMEOUT_S * 0.9 <= took_s < CONNECT_TIMEOUT_S + 3


@needs_mosquitto
async def test_a_frozen_broker_leaves_publishes_waiting(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    async with asyncio.timeout(BOUND_S), AckedClient(endpoint_of(broker)) as client:
        await client.send("t", b"before")
        broker.freeze()
        first = client.send("t", b"1")
        await asyncio.wait([first], timeout=0.3)
        second = client.send("t", b"2")
        first_age_s = client.oldest_unacked_s()
        await asyncio.wait([first, second], timeout=0.3)
        assert not first.done()
        assert not second.done()
        # The age of the oldest publish, whatever was sent after it.
        assert 0.2 < first_age_s < client.oldest_unacked_s()
        assert client.oldest_unacked_s() > 0.5
        broker.thaw()
        assert await asyncio.gather(first, second) == [None, None]
        assert client.oldest_unacked_s() == 0.0


@needs_mosquitto
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_frozen_broker_does_not_answer_a_subscription(
    mosquitto: StartMosquitto, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr("healthd.mqtt.acked_client._SUBACK_TIMEOUT_S", 0.2)
    broker = await mosquitto()
    async with (
        asyncio.timeout(BOUND_S),
        AckedClient(endpoint_of(broker, version)) as client,
    ):
        await client.subscribe_to("t")
        broker.freeze()
        for request in (client.subscribe_to, client.unsubscribe_from):
            with pytest.raises(SubscribeRefused, match="no answer"):
                await request("t")
        broker.thaw()
        await client.send("t", b"the connection is up")


@needs_mosquitto
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_makes_the_broker_publish_the_will(
    mosquitto: StartMosquitto, version: str
) -> None:
    broker = await mosquitto()
    endpoint = replace(endpoint_of(broker, version), will_topic="gateway/status")
    async with asyncio.timeout(BOUND_S), Subscriber(broker.port, "gateway/#") as subscriber:
        with pytest.raises(Boom):
            async with AckedClient(endpoint) as client:
                await client.send("gateway/status", b"online", retain=True)
                raise Boom
        await subscriber.until_payload("gateway/status", b"offline")
    async with Subscriber(broker.port, "gateway/#", name="late") as late:
        kept = await late.until_payload("gateway/status", b"offline")
    assert kept.retained


@needs_mosquitto
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_clean_disconnect_discards_the_will(
    mosquitto: StartMosquitto, version: str
) -> None:
    broker = await mosquitto()
    endpoint = replace(endpoint_of(broker, version), will_topic="gateway/status")
    async with asyncio.timeout(BOUND_S), Subscriber(broker.port, "gateway/#") as subscriber:
        async with AckedClient(endpoint) as client:
            await client.send("gateway/status", b"online", retain=True)
        await broker.logged("Client under-test disconnected.")
        # The will would arrive before this.
        await publish(broker.port, "gateway/marker", "")
        await subscriber.until_payload("gateway/marker", b"")
    assert [one.payload for one in subscriber.at("gateway/status")] == [b"online"]


@needs_mosquitto
async def test_properties_arrive_with_the_payload(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    async with (
        asyncio.timeout(BOUND_S),
        Subscriber(broker.port) as subscriber,
        AckedClient(endpoint_of(broker)) as client,
    ):
        await client.send("with", b"{}", schema="heart_rate/1")
        await client.send("without", b"online")
        await client.send("passing", b"{}", schema="health/1", expiry_s=180)
        messages = await subscriber.until(lambda all_: all_ if len(all_) == 3 else None)
    with_, without, passing = messages
    assert (with_.content_type, with_.user) == ("application/json", {"schema": "heart_rate/1"})
    assert (without.content_type, without.user) == ("text/plain", {})
    assert (with_.expiry_s, without.expiry_s, passing.expiry_s) == (None, None, 180)


@needs_mosquitto
@pytest.mark.parametrize("version", VERSIONS)
async def test_listen_yields_retained_and_new_messages(
    mosquitto: StartMosquitto, version: str
) -> None:
    broker = await mosquitto()
    await publish(broker.port, "a/kept", "old", retain=True)
    await publish(broker.port, "a/stale", "not kept")
    async with (
        asyncio.timeout(BOUND_S),
        AckedClient(endpoint_of(broker, version)) as client,
        aclosing(client.listen("b", "a/#")) as messages,
    ):
        # It matches the last filter: by now both subscriptions are active.
        assert await anext(messages) == Message("a/kept", b"old", retained=True)
        await publish(broker.port, "a/kept", "new", retain=True)
        assert await anext(messages) == Message("a/kept", b"new", retained=False)
        await publish(broker.port, "b", "live")
        assert await anext(messages) == Message("b", b"live", retained=False)


@pytest.fixture
async def secured(mosquitto: StartMosquitto, tmp_path: Path) -> AsyncIterator[tuple[Any, ...]]:
    """Yield a broker with a certificate for localhost, its authority and another authority."""
    authority, other = Authority(tmp_path, "trusted"), Authority(tmp_path, "other")
    certificate, key = authority.issue("localhost")
    broker = await mosquitto(f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}")
    yield broker, authority, other


def trusting(broker: Mosquitto, host: str, authority: Authority) -> Endpoint:
    context = ssl.create_default_context(cafile=authority.certificate)
    return replace(endpoint_of(broker), host=host, tls=context)


@needs_mosquitto
@needs_openssl
async def test_tls_with_a_trusted_certificate(
    secured: tuple[Mosquitto, Authority, Authority],
) -> None:
    broker, authority, _ = secured
    async with (
        asyncio.timeout(BOUND_S),
        AckedClient(trusting(broker, "localhost", authority)) as client,
        aclosing(client.listen("t")) as messages,
    ):
        await client.send("t", b"x" * 100_000, retain=True)
        assert (await anext(messages)).payload == b"x" * 100_000


@needs_mosquitto
@needs_openssl
# paho leaves the socket of a failed handshake to the garbage collector without closing it.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("wrong", ["authority", "host"])
async def test_an_untrusted_certificate_is_refused(
    secured: tuple[Mosquitto, Authority, Authority], wrong: str
) -> None:
    broker, authority, other = secured
    endpoint = (
        trusting(broker, "localhost", other)
        if wrong == "authority"
        else trusting(broker, HOST, authority)  # an address; the certificate names localhost
    )
    async with asyncio.timeout(BOUND_S):
        async with no_leaks():
            with pytest.raises(ConnectionLost, match=r"certificate of .* not trusted") as caught:
                async with AckedClient(endpoint):
                    pass
            assert caught.value.reason == "broker_untrusted"
            del caught
    assert not any("as under-test" in line for line in broker.log)


@needs_mosquitto
@needs_openssl
async def test_plain_text_to_a_tls_port_fails(
    secured: tuple[Mosquitto, Authority, Authority],
) -> None:
    broker, *_ = secured
    async with asyncio.timeout(BOUND_S):
        async with no_leaks():
            with pytest.raises(ConnectionLost):
                async with AckedClient(endpoint_of(broker)):
                    pass
