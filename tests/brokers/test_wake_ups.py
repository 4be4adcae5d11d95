"""Acknowledgements of samples stay in the socket for a while; everything else is read at once."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from healthd.mqtt import wake_ups
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ConnectionLost
from tests.brokers.responder import Behaviour, Responder
from tests.support.certificates import Authority, needs_openssl
from tests.support.mosquitto import HOST
from tests.support.publishing import connected

BOUND_S = 20.0

# Far longer than an answer takes on this machine.
QUIET_S = 0.5

SHORTEST_REQUEST = "h/g/request/stop"

Way = tuple[ssl.SSLContext | None, Endpoint]


class Sample:
    """A sample that waits for the broker's answer."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()

    def done(self) -> bool:
        return False

    def set_result(self, _result: None, /) -> None:
        self.answered.set()

    def set_exception(self, error: Exception, /) -> None:
        raise AssertionError("the broker refuses nothing") from error

    def cancel(self) -> None:
        pass


@pytest.fixture(params=["5", "3.1.1", "tls 1.3", pytest.param("tls 1.2", marks=needs_openssl)])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    """Return what the broker needs for TLS, and how to connect; its port is not known yet."""
    version = "3.1.1" if request.param == "3.1.1" else "5"
    server = client = None
    if request.param.startswith("tls"):
        authority = Authority(tmp_path, "authority")
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*authority.issue("localhost"))
        client = ssl.create_default_context(cafile=authority.certificate)
        if request.param == "tls 1.2":
            server.maximum_version = ssl.TLSVersion.TLSv1_2
    return server, Endpoint("localhost" if server else HOST, 0, version, "under-test", tls=client)


@pytest.fixture
def no_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let acknowledgements stay in the socket until something else makes the client read."""
    monkeypatch.setattr(wake_ups, "LATEST_S", 3600.0)


@asynccontextmanager
async def client_of(
    way: Way, behaviour: Behaviour | None = None
) -> AsyncGenerator[tuple[AckedClient, Responder]]:
    server, endpoint = way
    async with asyncio.timeout(BOUND_S), Responder(behaviour, server) as broker:
        mine = Endpoint(
            endpoint.host, broker.port, endpoint.version, endpoint.client_id, tls=endpoint.tls
        )
        async with AckedClient(mine) as client:
            yield client, broker


def send(client: AckedClient, *, urgent: bool = False) -> Sample:
    sample = Sample()
    client.deliver("h/g/device/s/beat", b"{}", sample, retain=False, schema="beat/1", urgent=urgent)
    return sample


async def put_off(client: AckedClient, broker: Responder) -> Sample:
    """Send a sample; return once its acknowledgement is in the socket, where it stays."""
    count = len(broker.accepted)
    sample = send(client)
    await broker.until(lambda: len(broker.accepted) > count)
    await asyncio.sleep(QUIET_S)
    assert not sample.answered.is_set()
    return sample


@pytest.mark.usefixtures("no_time_limit")
async def test_an_acknowledgement_waits_for_the_next_sample(way: Way) -> None:
    async with client_of(way) as (client, broker):
        first = await put_off(client, broker)
        second = send(client)
        client.catch_up()
        assert first.answered.is_set()
        assert not second.answered.is_set()


async def test_it_does_not_wait_longer_than_a_second(way: Way) -> None:
    async with client_of(way) as (client, broker):
        for _ in range(2):
            await (await put_off(client, broker)).answered.wait()


@pytest.mark.usefixtures("no_time_limit")
async def test_several_are_read_at_once(way: Way) -> None:
    async with client_of(way) as (client, _):
        samples = [send(client) for _ in range(5)]
        for sample in samples:
            await sample.answered.wait()


@pytest.mark.usefixtures("no_time_limit")
async def test_a_request_is_read_at_once_however_short_it_is(way: Way) -> None:
    async with client_of(way) as (client, broker):
        await client.subscribe_to(SHORTEST_REQUEST)
        first, received = None, client.received()
        for payload in (b"", b"1"):
            first = first or await put_off(client, broker)
            broker.connections[-1].deliver(SHORTEST_REQUEST, payload)
            message = await anext(received)
            assert (message.topic, message.payload) == (SHORTEST_REQUEST, payload)
        assert first is not None
        assert first.answered.is_set()
        await received.aclose()


@pytest.mark.usefixtures("no_time_limit")
@pytest.mark.parametrize("how", ["closes", "resets"])
async def test_a_broker_that_dies_is_noticed_at_once(way: Way, how: str) -> None:
    async with client_of(way) as (client, broker):
        sample = await put_off(client, broker)
        connection = broker.connections[-1]
        if how == "closes":
            connection.end(0)
        else:
            connection._writer.transport.abort()  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(ConnectionLost):
            await client.lost()
        # What it had acknowledged before counts.
        assert sample.answered.is_set()


@pytest.mark.usefixtures("no_time_limit")
async def test_other_answers_are_read_at_once(way: Way) -> None:
    async with client_of(way) as (client, broker):
        await put_off(client, broker)
        await client.send("h/g/status", b"online", retain=True)
        await put_off(client, broker)
        await client.subscribe_to("h/g/request/+")
        await put_off(client, broker)
        await client.unsubscribe_from("h/g/request/+")
        await put_off(client, broker)
        event = send(client, urgent=True)
        await event.answered.wait()


@pytest.mark.usefixtures("no_time_limit")
async def test_until_others_have_their_answer_those_to_samples_are_read_at_once(way: Way) -> None:
    async with client_of(way, Behaviour(suback_delay_s=3600.0)) as (client, _):
        asking = asyncio.create_task(client.subscribe_to("h/g/request/+"))
        await asyncio.sleep(0)
        await send(client).answered.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


@pytest.mark.usefixtures("no_time_limit")
async def test_with_a_small_window_each_answer_is_read_at_once(way: Way) -> None:
    if way[1].version == "3.1.1":
        return  # it has no way to name one
    async with client_of(way, Behaviour(receive_maximum=2)) as (client, broker):
        for sample in [send(client) for _ in range(5)]:
            await sample.answered.wait()
        assert broker.connections[-1].most_in_flight <= 2


@pytest.mark.usefixtures("no_time_limit")
async def test_nothing_waits_for_room_in_the_window(way: Way) -> None:
    async with client_of(way) as (client, broker):
        samples = [send(client) for _ in range(client.window + 1)]
        for sample in samples[:-5]:
            await sample.answered.wait()
        await broker.until(lambda: len(broker.accepted) == len(samples))


async def test_an_idle_connection_stays_up_after_samples() -> None:
    plain = (None, Endpoint(HOST, 0, "5", "under-test"))
    async with client_of(plain, Behaviour(server_keep_alive=1)) as (client, broker):
        await (await put_off(client, broker)).answered.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4.0):  # several times the keep alive
                await client.lost()


@pytest.mark.usefixtures("no_time_limit")
async def test_a_broker_that_falls_silent_is_noticed() -> None:
    plain = (None, Endpoint(HOST, 0, "5", "under-test"))
    async with client_of(plain, Behaviour(server_keep_alive=1)) as (client, broker):
        await put_off(client, broker)
        broker.behaviour.answers_ping = broker.behaviour.acknowledges = False
        with pytest.raises(ConnectionLost) as caught:
            await client.lost()
        assert caught.value.reason == "broker_stalled"


@pytest.mark.usefixtures("no_time_limit")
async def test_a_sample_that_was_acknowledged_is_not_written_to_the_disk(tmp_path: Path) -> None:
    async with Responder() as broker, connected(tmp_path, broker) as gateway:
        gateway.sample()
        await broker.until(lambda: any(b'"seq"' in each.payload for each in broker.accepted))
        await asyncio.sleep(3.0)  # longer than a sample may be in memory only
        assert await gateway.stored() == {}
        assert len(gateway.outbox.live) == 0


@pytest.mark.usefixtures("no_time_limit")
async def test_a_clean_stop_does_not_wait_for_acknowledgements_that_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.publisher.DRAIN_S", 3600.0)
    async with (
        asyncio.timeout(BOUND_S),
        Responder() as broker,
        connected(tmp_path, broker) as gateway,
    ):
        gateway.outbox.before_flush = lambda: None
        gateway.sample()
        await broker.until(lambda: any(b'"seq"' in each.payload for each in broker.accepted))
        await gateway.publisher.drain_and_disconnect("h/g/status", b"offline")
        assert len(gateway.outbox.live) == 0
