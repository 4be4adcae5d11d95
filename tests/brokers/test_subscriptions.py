"""Subscriptions that a broker refuses, or answers late or by closing: samples flow nevertheless."""

import asyncio
import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from healthd.errors import Backoff
from healthd.host.clock import Clock
from healthd.mqtt.arrivals import Message
from healthd.mqtt.requests import Requests
from tests.brokers.responder import Behaviour, Connection, Responder
from tests.support.publishing import BOUND_S, TOPICS, Gateway, connected, endpoint_of

FILTER = TOPICS.requests
LIVE = TOPICS.sample("strap", "beat")
VERSIONS = ["5", "3.1.1"]


class Listener:
    """Records the payloads that it gets."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self._arrived = asyncio.Event()

    def __call__(self, message: Message) -> None:
        self.payloads.append(message.payload)
        self._arrived.set()

    async def arrived(self) -> None:
        async with asyncio.timeout(BOUND_S):
            await self._arrived.wait()


def listening(gateway: Gateway) -> Listener:
    listener = Listener()
    gateway.inbox.subscribe(FILTER, listener)
    return listener


def live_samples(connection: Connection) -> int:
    return sum(one.topic == LIVE for one in connection.published)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_subscription_that_ends_the_connection_is_made_with_qos_0(
    tmp_path: Path, version: str
) -> None:
    behaviour = Behaviour(closes_from_qos=1)
    async with (
        Responder(behaviour) as broker,
        Gateway(tmp_path, endpoint_of(broker, version=version)) as gateway,
    ):
        with capture_logs() as logs:
            listener = listening(gateway)
            gateway.connect()
            await broker.until(lambda: len(broker.connections) == 2)
            assert broker.disconnects == [0]
            second = broker.connections[1]
            await broker.until(lambda: second.subscribed)
            gateway.sample(3)
            await broker.until(lambda: live_samples(second) == 3)
            second.deliver(TOPICS.request("scan"), b"{}")
            await listener.arrived()

    assert [one.asked[FILTER] for one in broker.connections] == [1, 0]
    (warning,) = [line for line in logs if line["service"] == "inbox"]
    assert warning["event"] == "connection ended by a subscription"
    assert warning["topic"] == FILTER


@pytest.mark.parametrize("code", [0x8B, 0x95, 0x97])
async def test_a_connection_that_ended_for_another_reason_does_not_change_the_subscription(
    tmp_path: Path, code: int
) -> None:
    behaviour = Behaviour(suback_delay_s=BOUND_S, disconnect=code, disconnect_after_s=0.2)
    async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gateway:
        with capture_logs() as logs:
            listening(gateway)
            gateway.connect()
            await broker.until(lambda: len(broker.disconnects) == 2)
            behaviour.disconnect, behaviour.suback_delay_s = None, 0.0
            await broker.until(lambda: len(broker.connections) == 3)
            await broker.until(lambda: broker.connections[2].subscribed)
    assert set(broker.disconnects) == {code}
    assert [one.asked for one in broker.connections] == [{FILTER: 1}] * 3
    assert [line for line in logs if line["service"] == "inbox"] == []


async def test_a_broker_that_does_not_authorize_the_subscription_gets_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the connection instead of refusing the SUBSCRIBE."""
    monkeypatch.setattr("healthd.mqtt.caution._HELD_BACK", Backoff(BOUND_S, BOUND_S))
    behaviour = Behaviour(suback_delay_s=BOUND_S, disconnect=0x87, disconnect_after_s=0.2)
    async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gateway:
        with capture_logs() as logs:
            listening(gateway)
            gateway.connect()
            await broker.until(lambda: len(broker.disconnects) == 2)
            behaviour.disconnect = None
            await broker.until(lambda: len(broker.connections) == 3)
            gateway.sample()
            await broker.until(lambda: live_samples(broker.connections[2]))
            assert not broker.connections[2].asked
    first, second = [line for line in logs if line["service"] == "inbox"]
    assert "not authorized" in first["hint"] and "cluster" not in first["hint"]
    assert second["event"] == "subscriptions held back"


async def test_a_broker_that_accepts_no_subscription_gets_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.caution._HELD_BACK", Backoff(1.0, 1.0))
    behaviour = Behaviour(closes_from_qos=0)
    async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gateway:
        with capture_logs() as logs:
            listener = listening(gateway)
            gateway.connect()
            # From the third connection on it first carries samples.
            for number in (2, 3):
                await broker.until(lambda number=number: len(broker.connections) > number)
                connection = broker.connections[number]
                gateway.sample()
                await broker.until(lambda one=connection: live_samples(one))
                assert not connection.asked
                await broker.until(lambda one=connection: one.over)
                assert connection.asked == {FILTER: 0}
            behaviour.closes_from_qos = None
            await broker.until(lambda: broker.connections[-1].subscribed)
            broker.connections[-1].deliver(TOPICS.request("scan"), b"{}")
            await listener.arrived()
    assert set(broker.disconnects) == {0}
    assert len(broker.disconnects) >= 4
    assert [line["event"] for line in logs if line["service"] == "inbox"] == [
        "connection ended by a subscription",
        "subscriptions held back",
        "subscribed",
    ]


async def test_samples_flow_while_a_refusal_of_a_subscription_takes_seconds(
    tmp_path: Path,
) -> None:
    behaviour = Behaviour(suback=0x80, suback_delay_s=4.0)
    async with (
        Responder(behaviour) as broker,
        Gateway(tmp_path, endpoint_of(broker, version="3.1.1")) as gateway,
    ):
        with capture_logs() as logs:
            listener = listening(gateway)
            gateway.connect()
            await broker.until(lambda: broker.connections and broker.connections[0].asked)
            (connection,) = broker.connections
            gateway.sample(3)
            await broker.until(lambda: live_samples(connection) == 3)
            assert not [line for line in logs if line["event"] == "subscription refused"]
            behaviour.suback, behaviour.suback_delay_s = 1, 0.0
            await broker.until(lambda: connection.subscribed)
            connection.deliver(TOPICS.request("scan"), b"{}")
            await listener.arrived()
        assert gateway.faults == []
    assert [line["event"] for line in logs if line["service"] == "inbox"] == [
        "subscription refused",
        "subscribed",
    ]


async def test_a_subscription_waits_for_the_first_acknowledgement(tmp_path: Path) -> None:
    """NATS answers in order, and a SUBSCRIBE takes seconds while a cluster elects a leader."""
    behaviour = Behaviour(acknowledges=False)
    async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gateway:
        listening(gateway)
        gateway.publisher.retain(TOPICS.status, b"online")
        gateway.connect()
        await broker.until(lambda: broker.published)
        # Sent after the SUBSCRIBE that an eager client would have sent with the first message.
        gateway.publisher.retain(TOPICS.status, b"changed")
        await broker.until(lambda: len(broker.published) > 1)
        (connection,) = broker.connections
        assert not connection.asked
        connection.acknowledge(broker.published[0])
        await broker.until(lambda: connection.subscribed == [FILTER])


async def test_without_wildcards_each_allowed_request_is_subscribed_to(tmp_path: Path) -> None:
    behaviour = Behaviour(wildcard_available=False)
    async with (
        Responder(behaviour) as broker,
        connected(tmp_path, endpoint_of(broker)) as gateway,
    ):
        publish = gateway.publisher.publish_once
        requests = Requests(TOPICS, {}, ["scan", "fetch"], publish, Clock())
        requests.subscribe(gateway.inbox)
        (connection,) = broker.connections
        await broker.until(lambda: len(connection.subscribed) == 2)
        assert {*connection.subscribed} == {TOPICS.request("scan"), TOPICS.request("fetch")}
        connection.deliver(TOPICS.request("fetch"), b"{}")
        await broker.until(lambda: connection.published[-1:])
        answer = connection.published[-1]
        assert answer.topic == TOPICS.response("fetch")
        assert json.loads(answer.payload)["status"] == "error"
        requests.allow(["scan", "stop"], gateway.inbox)
        wanted = {TOPICS.request("scan"), TOPICS.request("stop")}
        await broker.until(lambda: {*connection.subscribed} == wanted)
        requests.allow([], gateway.inbox)
        await broker.until(lambda: not connection.subscribed)
        assert gateway.faults == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_topic_that_is_not_utf_8_does_not_end_the_connection(
    tmp_path: Path, version: str
) -> None:
    """A broker that keeps such a message would otherwise end each connection with it."""
    async with (
        Responder() as broker,
        Gateway(tmp_path, endpoint_of(broker, version=version)) as gateway,
    ):
        listener = listening(gateway)
        gateway.connect()
        await broker.until(lambda: broker.connections and broker.connections[0].subscribed)
        (connection,) = broker.connections
        connection.deliver(TOPICS.request("sc\udcff\udcc3n"), b"bad", retain=True)
        connection.deliver(TOPICS.request("scan"), b"good")
        await listener.arrived()
        await broker.until(lambda: b"good" in listener.payloads)
        assert len(broker.connections) == 1
        assert gateway.faults == []


async def test_with_wildcards_one_subscription_is_enough(tmp_path: Path) -> None:
    async with Responder() as broker, connected(tmp_path, endpoint_of(broker)) as gateway:
        publish = gateway.publisher.publish_once
        requests = Requests(TOPICS, {}, ["scan", "fetch"], publish, Clock())
        requests.subscribe(gateway.inbox)
        requests.allow(["scan"], gateway.inbox)
        await broker.until(lambda: broker.connections[0].subscribed)
        assert broker.connections[0].asked == {FILTER: 1}
