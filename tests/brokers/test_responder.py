"""The responder keeps to MQTT 5: it disconnects a client that breaks a limit, with its code.

The clients here are single packets, written by hand from the standard.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.brokers.responder import Behaviour, Responder
from tests.support.mosquitto import HOST

BOUND_S = 20.0

# Clean start, keep alive 60 s, client id "c".
CONNECT = bytes.fromhex("10 0e 0004 4d515454 05 02 003c 00 0001 63")
# The same with a retained will of QoS 1 at "w".
CONNECT_WITH_WILL = bytes.fromhex("10 14 0004 4d515454 05 2e 003c 00 0001 63 00 0001 77 0000")
CONNECT_3_1_1 = bytes.fromhex("10 0d 0004 4d515454 04 02 003c 0001 63")
# QoS 1, topic "t", packet ids 1 and 2, no properties, empty payload; and the first one retained.
PUBLISHES = bytes.fromhex("32 06 0001 74 0001 00  32 06 0001 74 0002 00")
RETAINED = bytes.fromhex("33 06 0001 74 0001 00")
SUBSCRIBE = bytes.fromhex("82 07 0001 00 0001 23 01")


@asynccontextmanager
async def client(
    broker: Responder,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(BOUND_S):
        reader, writer = await asyncio.open_connection(HOST, broker.port)
        try:
            yield reader, writer
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("behaviour", "sent", "code"),
    [
        (Behaviour(receive_maximum=1, puback_delay_s=BOUND_S), CONNECT + PUBLISHES, 0x93),
        (Behaviour(maximum_packet_size=len(CONNECT)), CONNECT + PUBLISHES, None),
        (Behaviour(maximum_packet_size=len(CONNECT) - 1), CONNECT, 0x95),
        (Behaviour(maximum_qos=0), CONNECT + PUBLISHES, 0x9B),
        (Behaviour(retain_available=False), CONNECT + RETAINED, 0x9A),
        (Behaviour(disconnect_on={"t": 0x97}), CONNECT + PUBLISHES, 0x97),
        (Behaviour(server_keep_alive=1), CONNECT, 0x8D),
        (Behaviour(), CONNECT + CONNECT, 0x82),
    ],
)
async def test_a_broken_limit_ends_the_connection_with_its_code(
    behaviour: Behaviour, sent: bytes, code: int | None
) -> None:
    async with Responder(behaviour) as broker, client(broker) as (reader, writer):
        writer.write(sent)
        if code is None:
            await broker.until(lambda: len(broker.published) == 2)
            assert broker.disconnects == []
            return
        answers = await reader.read()
        assert bytes((0xE0, 2, code, 0)) in answers
        assert broker.disconnects == [code]


@pytest.mark.parametrize(
    ("behaviour", "connect", "connack"),
    [
        (Behaviour(retain_available=False), CONNECT_WITH_WILL, "20 05 00 9a 02 2500"),
        (Behaviour(connack=0x8A), CONNECT, "20 03 00 8a 00"),
        (Behaviour(versions=(4,)), CONNECT, "20 03 00 84 00"),
        (Behaviour(connack=0x87), CONNECT_3_1_1, "20 02 00 05"),
    ],
)
async def test_a_refused_connect_is_answered_and_closed(
    behaviour: Behaviour, connect: bytes, connack: str
) -> None:
    async with Responder(behaviour) as broker, client(broker) as (reader, writer):
        writer.write(connect)
        assert await reader.read() == bytes.fromhex(connack)


async def test_connack_names_limits_and_wildcards_refused_in_suback() -> None:
    behaviour = Behaviour(receive_maximum=10, wildcard_available=False)
    async with Responder(behaviour) as broker, client(broker) as (reader, writer):
        writer.write(CONNECT + SUBSCRIBE)
        assert await reader.readexactly(10) == bytes.fromhex("20 08 00 00 05 21 000a 28 00")
        assert await reader.readexactly(6) == bytes.fromhex("90 04 0001 00 a2")
        assert broker.connections[0].subscribed == []
