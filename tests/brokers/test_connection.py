"""Why a connection ended, which broker is tried next and when, with a broker that does as asked."""

import asyncio
import random
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator, MutableMapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from healthd.errors import Backoff
from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ConnectionLost
from healthd.samples import Sample
from healthd.supervision.supervisor import Supervisor
from tests.brokers import packets
from tests.brokers.responder import Behaviour, Responder
from tests.support.mosquitto import HOST, free_port
from tests.support.publishing import TOPICS, Gateway, end_task, endpoint_of

Lines = list[MutableMapping[str, Any]]

BOUND_S = 30.0

# What a broker that is well again may be left alone for, whatever happened before.
LONGEST_WAIT_S = 10.0

# The same after a plain restart, with a second left for the connection itself.
LONGEST_WAIT_AFTER_RESTART_S = 2.0


@asynccontextmanager
async def supervised(
    folder: Path, *brokers: Responder | Endpoint
) -> AsyncGenerator[tuple[Gateway, Lines]]:
    """Yield a gateway that reconnects as the daemon does, and what it logs."""
    with capture_logs() as lines:
        async with Gateway(folder, *brokers) as gateway:
            gateway.publisher.retain(TOPICS.status, b"online")
            keeping = Supervisor(random.Random(1)).keep(
                gateway.publisher.run, get_logger(service="mqtt")
            )
            task = asyncio.create_task(keeping)
            try:
                yield gateway, lines
            finally:
                await end_task(task)


def of_connection(lines: Lines) -> list[tuple[str, str]]:
    """Return event and level of the lines about the connection that a user sees."""
    events = ("connected", "retrying", "broker failed")
    return [
        (line["event"], line["log_level"])
        for line in lines
        if line["event"] in events and line["log_level"] != "debug"
    ]


def waits(lines: Lines) -> list[float]:
    return [line["wait_s"] for line in lines if line["event"] == "retrying"]


async def polled(reached: Callable[[], bool]) -> None:
    """Wait for something that the log says."""
    async with asyncio.timeout(BOUND_S):
        while not reached():  # noqa: ASYNC110 (the log has no event)
            await asyncio.sleep(0.05)


def has(broker: Responder, sample: Sample) -> bool:
    """Return whether the sample has arrived at the broker."""
    return any(sample.id.encode() in publish.payload for publish in broker.published)


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncGenerator[int]:
    """Yield the port of a server that answers one packet after the other with these bytes."""
    answered = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        for answer in answers:
            await packets.read_packet(reader)
            writer.write(answer)
            answered += 1
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with asyncio.timeout(BOUND_S), server:
        yield server.sockets[0].getsockname()[1]
    assert answered == len(answers)


async def refusal(endpoint: Endpoint) -> ConnectionLost:
    """Return why it cannot connect."""
    with pytest.raises(ConnectionLost) as caught:
        async with AckedClient(endpoint):
            pass
    return caught.value


# Reasons


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0x8B, "broker_unavailable"),
        (0x93, "protocol_error"),
        (0x95, "packet_too_large"),
        (0x96, "rate_exceeded"),
        (0x97, "quota_exceeded"),
        (0x98, "disconnected_by_admin"),
        (0x9A, "retain_refused"),
        (0x9C, "use_another_server"),
        # MQTT 5 lists it for CONNACK only, and does not know the other one.
        (0x8A, "banned"),
        (0xC1, "broker_refused"),
    ],
)
async def test_the_reason_of_a_disconnect_is_the_reason_each_time(
    tmp_path: Path, code: int, reason: str
) -> None:
    behaviour = Behaviour(
        disconnect_on={TOPICS.status: code}, reason_string="too much", server_reference="b.example"
    )
    async with Responder(behaviour) as broker, Gateway(tmp_path, broker) as gateway:
        gateway.publisher.retain(TOPICS.status, b"online")
        gateway.sample(50)
        gateway.connect()
        await gateway.until(lambda: len(gateway.faults) >= 5)
    assert broker.disconnects[:5] == [code] * 5
    assert {fault.reason for fault in gateway.faults} == {reason}
    for fault in gateway.faults:
        assert f"0x{code:02X}" in str(fault)
        assert "too much" in str(fault)
        assert "b.example" in str(fault)
        assert "twice" not in str(fault)
        assert fault.backoff.ceiling_s <= LONGEST_WAIT_S


@contextmanager
def hasty_server(last_words: bytes) -> Generator[tuple[int, threading.Event]]:
    """Yield the port of a server that ends each connection, and an event that is set then.

    It is a thread, so that a test can keep the client from reading in the meantime.
    """
    ended = threading.Event()
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                peer, _ = server.accept()
                peer.recv(1024)
                peer.sendall(packets.connack(5, 0, {}))
                peer.recv(1024)
                peer.sendall(last_words)
                peer.close()
            ended.set()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], ended
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


async def test_a_write_that_fails_first_does_not_hide_the_reason() -> None:
    words = packets.disconnect(0x9A, {packets.REASON_STRING: "not here"})
    with hasty_server(packets.puback(5, 1, 0, None) + words) as (port, ended):
        endpoint = Endpoint(host=HOST, port=port, version="5", client_id="under-test")
        async with asyncio.timeout(BOUND_S):
            async with AckedClient(endpoint) as client:
                client.send("t", b"first")
                assert await asyncio.to_thread(ended.wait, BOUND_S)
                with pytest.raises(ConnectionLost) as caught:
                    # The first one makes the peer reset the connection.
                    for number in range(100):
                        client.send("t", b"%d" % number)
                        ended.wait(0.01)
    assert caught.value.reason == "retain_refused"
    assert "not here" in str(caught.value)


async def test_a_connection_without_a_reason_says_so(tmp_path: Path) -> None:
    async with Responder(Behaviour(disconnect=0)) as broker, Gateway(tmp_path, broker) as gateway:
        gateway.connect()
        fault = await gateway.failed("broker_lost")
    assert broker.disconnects[0] == 0
    assert "without a reason" in str(fault)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0x81, "protocol_error"),
        (0x84, "version_refused"),
        (0x85, "client_id_refused"),
        (0x86, "credentials_refused"),
        (0x87, "credentials_refused"),
        (0x88, "broker_unavailable"),
        (0x8A, "banned"),
        (0x97, "quota_exceeded"),
        (0x9A, "retain_refused"),
        (0x9D, "use_another_server"),
        (0x9F, "rate_exceeded"),
        # Codes that MQTT 5 lists for other packets only, or not at all.
        (0x8B, "broker_unavailable"),
        (0x8E, "taken_over"),
        (0xC1, "broker_refused"),
    ],
)
async def test_the_reason_of_a_refusal(code: int, reason: str) -> None:
    behaviour = Behaviour(connack=code, reason_string="our words", server_reference="b.example")
    async with asyncio.timeout(BOUND_S), Responder(behaviour) as broker:
        fault = await refusal(endpoint_of(broker))
    assert broker.connacks == [code]
    assert fault.reason == reason
    for text in (f"0x{code:02X}", "our words", "b.example"):
        assert text in str(fault)
    if code in (0x85, 0x8A):
        assert "gateway-under-test" in str(fault)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1, "version_refused"),
        (2, "client_id_refused"),
        (3, "broker_unavailable"),
        (4, "credentials_refused"),
        (5, "credentials_refused"),
        (6, "broker_refused"),
    ],
)
async def test_a_refusal_in_the_form_of_mqtt_3_1_1(version: str, code: int, reason: str) -> None:
    """A broker without MQTT 5, such as NATS, answers like that to a client that speaks it."""
    async with scripted(bytes([0x20, 2, 0, code])) as port:
        fault = await refusal(Endpoint(HOST, port, version, "under-test"))
    assert fault.reason == reason
    if code == 1:
        other = "3.1.1" if version == "5" else "5"
        assert f'version = "{other}"' in str(fault)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_connection_that_is_closed_instead_of_an_answer(version: str) -> None:
    """RabbitMQ before 3.13 does that to clients that speak MQTT 5."""
    async with asyncio.timeout(BOUND_S), Responder(Behaviour(closes=True)) as broker:
        fault = await refusal(endpoint_of(broker, version=version))
        assert broker.disconnects == [0]
    assert fault.reason == "broker_closed"
    assert "closed the connection before it answered" in str(fault)
    assert ('version = "3.1.1"' in str(fault)) == (version == "5")


async def test_a_server_that_does_not_speak_mqtt() -> None:
    async with scripted(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        fault = await refusal(Endpoint(HOST, port, "5", "under-test"))
    assert fault.reason == "protocol_error"
    assert "does not answer as an MQTT broker" in str(fault)


async def test_a_disconnect_instead_of_an_answer_has_the_reason() -> None:
    """The standard wants a CONNACK there, but a broker that cannot read a CONNECT may do it."""
    said = {packets.REASON_STRING: "our words", packets.SERVER_REFERENCE: "b.example"}
    async with scripted(packets.disconnect(0x95, said)) as port:
        fault = await refusal(Endpoint(HOST, port, "5", "under-test"))
    assert fault.reason == "packet_too_large"
    for text in ("0x95", "our words", "b.example"):
        assert text in str(fault)


async def test_a_packet_that_is_not_mqtt_is_no_second_gateway() -> None:
    async with (
        scripted(packets.connack(5, 0, {}), b"\xf1\x00") as port,
        AckedClient(Endpoint(HOST, port, "5", "under-test")) as client,
    ):
        client.send("t", b"")
        with pytest.raises(ConnectionLost) as caught:
            await client.lost()
    assert caught.value.reason == "protocol_error"


# Waits and log lines


async def test_a_broker_that_ends_every_connection_is_logged_once(tmp_path: Path) -> None:
    """paho resends nothing here: each connection ends at the first retained message."""
    async with Responder(Behaviour(disconnect_on={TOPICS.status: 0x9A})) as broker:
        async with supervised(tmp_path, broker) as (_, lines):
            await broker.until(lambda: len(broker.disconnects) >= 5)
        assert broker.disconnects[:5] == [0x9A] * 5
    assert of_connection(lines) == [("connected", "info"), ("retrying", "warning")]
    assert {line["reason"] for line in lines if line["event"] == "retrying"} == {"retain_refused"}


async def test_a_broker_that_closes_every_connection_is_logged_a_few_times(tmp_path: Path) -> None:
    behaviour = Behaviour(disconnect=0, disconnect_after_s=0.1)
    async with Responder(behaviour) as broker:
        async with supervised(tmp_path, broker) as (gateway, lines):
            await broker.until(lambda: len(broker.disconnects) >= 9)
            behaviour.disconnect = None
            (sample,) = gateway.sample()
            await broker.until(lambda: has(broker, sample))
        assert broker.disconnects[:9] == [0] * 9
    # Two connections might be chance.
    assert len(of_connection(lines)) <= 4
    # A broker that flaps looks as if there were a second gateway, and must not be left alone.
    assert max(waits(lines)) <= LONGEST_WAIT_AFTER_RESTART_S
    assert {line["reason"] for line in lines if line["event"] == "retrying"} == {"broker_lost"}


async def test_a_second_gateway_is_a_guess_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.brokers._TWIN_FOR_S", 1.0)
    behaviour = Behaviour(disconnect=0, disconnect_after_s=0.5)
    async with Responder(behaviour) as broker, Gateway(tmp_path, broker) as gateway:
        gateway.connect()
        fault = await gateway.failed("taken_over")
    assert "perhaps" in str(fault)
    assert "gateway-under-test" in str(fault)
    assert fault.backoff.first_s < fault.backoff.ceiling_s <= LONGEST_WAIT_S


async def test_a_broker_that_was_down_in_between_is_no_second_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.brokers._TWIN_FOR_S", 0.0)
    async with Responder() as broker, Gateway(tmp_path, broker) as gateway:
        gateway.connect()
        for round_ in range(5):
            await gateway.connected(round_ + 1)
            await broker.stop()
            refused = len(gateway.faults) + 2
            await gateway.until(lambda refused=refused: len(gateway.faults) >= refused)
            await broker.start()
    assert broker.disconnects == [0] * 5
    assert {fault.reason for fault in gateway.faults} == {"broker_lost", "broker_unreachable"}


async def test_after_a_restart_the_wait_is_short(tmp_path: Path) -> None:
    async with Responder() as broker, supervised(tmp_path, broker) as (gateway, lines):
        await broker.until(lambda: broker.published)
        await broker.stop()
        await polled(lambda: len(waits(lines)) >= 8)
        await broker.start()
        (sample,) = gateway.sample()
        await broker.until(lambda: has(broker, sample))
    assert max(waits(lines)) <= LONGEST_WAIT_AFTER_RESTART_S


# Several brokers


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(disconnect=0),
        Behaviour(disconnect=0x97),
        Behaviour(disconnect_on={TOPICS.status: 0x9A}),
        Behaviour(suback=None),
    ],
    ids=["closes", "ends with a reason", "at the first message", "at a subscription"],
)
async def test_a_broker_that_drops_is_left_for_the_next_one(
    tmp_path: Path, behaviour: Behaviour
) -> None:
    """RabbitMQ 3.10 closes a connection whose subscription is a queue of a dead node."""
    async with Responder(behaviour) as bad, Responder() as good:
        async with Gateway(tmp_path, bad, good) as gateway:
            gateway.publisher.retain(TOPICS.status, b"online")
            gateway.inbox.subscribe("to/gateway", lambda _: None)
            gateway.connect()
            await good.until(lambda: good.published)
            (sample,) = gateway.sample()
            await good.until(lambda: has(good, sample))
        assert 1 <= len(bad.disconnects) <= 2


async def test_a_broker_that_refuses_does_not_keep_from_the_next_one(tmp_path: Path) -> None:
    async with Responder(Behaviour(connack=0x86)) as bad, Responder() as good:
        async with supervised(tmp_path, bad, good) as (gateway, lines):
            await good.until(lambda: good.published)
            # It is down for a moment. That is no reason to wait as long as the other one demands.
            await good.stop()
            await polled(lambda: any(line.get("reason") == "broker_unreachable" for line in lines))
            await good.start()
            (sample,) = gateway.sample()
            await good.until(lambda: has(good, sample))
        assert set(bad.connacks) == {0x86}
        assert len(bad.connacks) <= 2, "it is left out while it wants to be left alone"
    failed = [line for line in lines if line["event"] == "broker failed"]
    assert ("credentials_refused", bad.address) in [(f["reason"], f["broker"]) for f in failed]
    assert max(waits(lines)) <= LONGEST_WAIT_AFTER_RESTART_S


async def test_if_all_refuse_they_are_left_alone(tmp_path: Path) -> None:
    async with (
        Responder(Behaviour(connack=0x86)) as one,
        Responder(Behaviour(connack=0x8A)) as two,
        Gateway(tmp_path, one, two) as gateway,
    ):
        gateway.connect()
        fault = await gateway.failed("banned")
    assert (one.connacks[0], two.connacks[0]) == (0x86, 0x8A)
    assert fault.backoff == Backoff(first_s=30.0, ceiling_s=900.0)


# Slow ones


async def test_a_broker_that_needs_five_seconds_is_waited_for(tmp_path: Path) -> None:
    async with (
        Responder(Behaviour(connack_delay_s=5.0)) as broker,
        Gateway(tmp_path, broker) as gateway,
    ):
        gateway.publisher.retain(TOPICS.status, b"online")
        gateway.connect()
        await broker.until(lambda: broker.published)
    assert [fault.reason for fault in gateway.faults] == ["broker_unreachable"]
    assert "does not answer" in str(gateway.faults[0])


async def test_a_silent_name_server_costs_three_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, released, asked = socket.getaddrinfo, threading.Event(), threading.Event()

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:
        if host in ("silent.example", b"silent.example"):
            asked.set()
            released.wait(BOUND_S)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return known(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    loop = asyncio.get_running_loop()
    async with Responder() as broker:
        good = endpoint_of(broker)
        async with Gateway(tmp_path, replace(good, host="silent.example"), good) as gateway:
            since = loop.time()
            gateway.connect()
            await gateway.connected()
            took_s = loop.time() - since
    assert asked.is_set()
    released.set()
    assert 2.5 < took_s < 10


async def test_the_second_address_of_a_name_gets_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server((HOST, 0), backlog=0) as deaf:
        full = [socket.socket() for _ in range(4)]
        for one in full:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        async with Responder() as broker:
            addresses = [deaf.getsockname(), (HOST, broker.port)]
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in addresses]

            def look_up(*_: Any, **__: Any) -> Any:
                return found

            monkeypatch.setattr(socket, "getaddrinfo", look_up)
            async with asyncio.timeout(BOUND_S):
                async with AckedClient(replace(endpoint_of(broker), host="two.example")) as client:
                    await client.send("t", b"")
        for one in full:
            one.close()


async def test_a_closed_port_and_an_unknown_name() -> None:
    async with asyncio.timeout(BOUND_S):
        fault = await refusal(Endpoint(HOST, free_port(), "5", "under-test"))
        assert fault.reason == "broker_unreachable"
        assert "Connection refused" in str(fault)
        fault = await refusal(Endpoint("no-such-host.invalid", 1883, "5", "under-test"))
        assert fault.reason == "broker_unreachable"
        # A resolver that cannot reach its server takes longer than one attempt may.
        answers = ("cannot look up the name no-such-host.invalid", "looking up the name takes too")
        assert any(answer in str(fault) for answer in answers), fault


# Keep alive and client id


async def test_the_brokers_keep_alive_is_kept() -> None:
    async with asyncio.timeout(BOUND_S), Responder(Behaviour(server_keep_alive=1)) as broker:
        async with AckedClient(endpoint_of(broker)) as client:
            await client.send("t", b"")
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await client.lost()
            await client.send("t", b"")
            assert broker.disconnects == []
        assert broker.connections[0].connect is not None
        assert broker.connections[0].connect.keep_alive > 1


@pytest.mark.parametrize("keep_alive", [0, 3600])
async def test_a_stall_is_noticed_whatever_the_brokers_keep_alive(
    keep_alive: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.acked_client.KEEPALIVE_S", 1)
    behaviour = Behaviour(server_keep_alive=keep_alive, answers_ping=False)
    async with (
        asyncio.timeout(BOUND_S),
        Responder(behaviour) as broker,
        AckedClient(endpoint_of(broker)) as client,
    ):
        with pytest.raises(ConnectionLost) as caught:
            await client.lost()
    assert caught.value.reason == "broker_stalled"


async def test_an_assigned_client_id_is_the_id_from_then_on() -> None:
    behaviour = Behaviour(assigned_client_id="assigned-7", disconnect=0x8E)
    async with (
        asyncio.timeout(BOUND_S),
        Responder(behaviour) as broker,
        AckedClient(endpoint_of(broker)) as client,
    ):
        assert client.identifier == "assigned-7"
        with pytest.raises(ConnectionLost) as caught:
            await client.lost()
    assert caught.value.reason == "taken_over"
    assert "assigned-7" in str(caught.value)
