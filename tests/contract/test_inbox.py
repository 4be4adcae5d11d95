"""What healthd listens to, on a real broker: handed out, and no harm to the connection."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from healthd.mqtt.acked_client import AckedClient, Endpoint, Message
from healthd.mqtt.inbox import Inbox
from tests.contract.conftest import StartMosquitto
from tests.contract.mosquitto import HOST, Mosquitto, needs_mosquitto
from tests.contract.subscriber import publish

pytestmark = needs_mosquitto

BOUND_S = 15.0
VERSIONS = ["5", "3.1.1"]


class Heard:
    """Messages, as a listener gets them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._changed = asyncio.Event()

    def __call__(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()

    async def wait(self, count: int) -> list[Message]:
        async with asyncio.timeout(BOUND_S):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.messages


@asynccontextmanager
async def listening(
    inbox: Inbox, broker: Mosquitto, version: str = "5"
) -> AsyncGenerator[AckedClient]:
    """A connection on which the inbox is run."""
    async with AckedClient(Endpoint(HOST, broker.port, version, "under-test")) as client:
        running = asyncio.create_task(inbox.run(client))
        try:
            yield client
        finally:
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled(), "only its owner ends it"


@pytest.mark.parametrize("version", VERSIONS)
async def test_each_listener_gets_its_messages_on_every_connection(
    mosquitto: StartMosquitto, version: str
) -> None:
    broker = await mosquitto()
    inbox, some, other = Inbox(), Heard(), Heard()
    inbox.listen("a/+/b", some)
    inbox.listen("other", other)
    for round_ in (1, 2):
        since = len(broker.log)
        async with listening(inbox, broker, version):
            await broker.logged("under-test 1 other", since=since)
            for topic in ("a/x/b", "a/x/y", "other"):
                await publish(broker.port, topic, f"{round_}")
            await other.wait(round_)
    assert [(one.topic, one.payload) for one in some.messages] == [("a/x/b", b"1"), ("a/x/b", b"2")]
    assert [one.payload for one in other.messages] == [b"1", b"2"]
    assert {one.retained for one in some.messages} == {False}


async def test_listeners_come_and_go_while_there_is_a_connection(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    inbox, stays, goes, comes = Inbox(), Heard(), Heard(), Heard()
    inbox.listen("a", stays)
    inbox.listen("b", goes)
    inbox.listen("b", stays)
    async with listening(inbox, broker) as client:
        await broker.logged("under-test 1 b")
        inbox.leave("b", goes)
        inbox.listen("c", comes)
        await broker.logged("under-test 1 c")
        inbox.leave("b", stays)
        await broker.logged("UNSUBSCRIBE from under-test")
        for topic in ("b", "c", "a"):
            await client.send(topic, b"now")
        await stays.wait(1)
        await comes.wait(1)
    assert [one.topic for one in stays.messages] == ["a"]
    assert goes.messages == []
    since = len(broker.log)
    async with listening(inbox, broker):
        await broker.logged("under-test 1 c", since=since)
    assert not [line for line in broker.log[since:] if "under-test 1 b" in line]


async def test_where_nobody_listens_nothing_is_subscribed_to(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    async with listening(Inbox(), broker) as client:
        await client.send("t", b"a round trip")
    assert not [line for line in broker.log if "SUBSCRIBE" in line]
