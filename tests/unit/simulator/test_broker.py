"""The embedded brokers: the MQTT 5 features that healthd needs, and a complete shutdown."""

import asyncio
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

import aiomqtt
import pytest

from healthd.simulator import broker as broker_module
from healthd.simulator.broker import BrokerError, EmbeddedBroker, Kind

KINDS: list[Kind] = ["mosquitto", "iotcore"]
V5 = aiomqtt.ProtocolVersion.V5


def is_installed(kind: Kind) -> bool:
    try:
        EmbeddedBroker(kind)
    except BrokerError:
        return False
    return True


INSTALLED = [
    pytest.param(kind, marks=pytest.mark.skipif(not is_installed(kind), reason="not installed"))
    for kind in KINDS
]


@pytest.fixture(params=INSTALLED)
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(request.param) as embedded:
        yield embedded


def mqtt_string(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def connect_packet(topic: bytes, will: bytes) -> bytes:
    """Return an MQTT 5 CONNECT with a retained will of QoS 1.

    No client library can drop its connection without a DISCONNECT, which is needed for the will.
    """
    flags = 0b00101110  # will retain, will QoS 1, will, clean start
    body = mqtt_string(b"MQTT") + bytes([5, flags]) + struct.pack(">H", 60) + b"\x00"
    body += mqtt_string(b"gateway") + b"\x00" + mqtt_string(topic) + mqtt_string(will)
    return bytes([0x10, len(body)]) + body


async def test_qos_1_retained_messages_and_will(broker: EmbeddedBroker) -> None:
    async with asyncio.timeout(10):
        async with (
            aiomqtt.Client(broker.host, broker.port, protocol=V5) as watcher,
            aiomqtt.Client(broker.host, broker.port, protocol=V5) as publisher,
        ):
            await watcher.subscribe("gateway/#", qos=1)
            arriving = aiter(watcher.messages)
            await publisher.publish("gateway/status", b"online", qos=1, retain=True)
            assert (await anext(arriving)).payload == b"online"
            reader, writer = await asyncio.open_connection(broker.host, broker.port)
            writer.write(connect_packet(b"gateway/status", b"offline"))
            assert (await reader.readexactly(1))[0] == 0x20
            writer.close()
            await writer.wait_closed()
            assert (await anext(arriving)).payload == b"offline"
        async with aiomqtt.Client(broker.host, broker.port, protocol=V5) as late:
            await late.subscribe("gateway/#", qos=1)
            message = await anext(aiter(late.messages))
    assert (message.payload, message.retain, message.qos) == (b"offline", True, 1)


async def test_broker_listens_on_localhost_only(broker: EmbeddedBroker) -> None:
    assert broker.host == "127.0.0.1"
    assert broker.kind in KINDS
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.2", broker.port)


@pytest.mark.parametrize("kind", INSTALLED)
async def test_broker_is_stopped_at_exit(kind: Kind) -> None:
    async with asyncio.timeout(10):
        async with EmbeddedBroker(kind) as embedded:
            pass
        with pytest.raises(OSError):
            await asyncio.open_connection(embedded.host, embedded.port)


@pytest.mark.parametrize("kind", INSTALLED)
async def test_broker_uses_another_port_if_the_first_is_in_use(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(20):
        with socket.socket() as taken, socket.socket() as free:
            taken.bind(("127.0.0.1", 0))
            free.bind(("127.0.0.1", 0))
            ports = [int(taken.getsockname()[1]), int(free.getsockname()[1])]
            free.close()
            choices = iter(ports)
            monkeypatch.setattr(broker_module, "_free_port", lambda: next(choices))
            async with EmbeddedBroker(kind) as broker:
                assert broker.port == ports[1]


async def test_start_error_contains_the_broker_error_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker_module, "_MOSQUITTO_CONFIG", "nonsense {port}{host}{user}\n")
    monkeypatch.setattr(broker_module, "_IOTCORE_CONFIG", "nonsense {port}{host}\n")
    async with asyncio.timeout(10):
        with pytest.raises(BrokerError, match=r"nonsense|TOML|config"):
            async with EmbeddedBroker():
                pass


def test_missing_broker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "_mosquitto", lambda: None)
    with pytest.raises(BrokerError, match="mosquitto is not installed"):
        EmbeddedBroker("mosquitto")


PARENT = """
import asyncio, sys
from healthd.simulator.broker import EmbeddedBroker

async def main() -> None:
    async with EmbeddedBroker(sys.argv[1]) as broker:
        print(broker.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", INSTALLED)
async def test_broker_ends_if_its_parent_is_killed(kind: Kind) -> None:
    async with asyncio.timeout(10):
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PARENT, kind, stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout is not None
        port = int(await parent.stdout.readline())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        # The broker closes its connections when it ends.
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
