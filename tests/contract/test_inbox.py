"""The inbox with a real broker: messages reach their listeners, and the connection stays up."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from healthd.errors import Backoff
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.arrivals import Message
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.inbox import Inbox
from tests.support.mosquitto import HOST, Mosquitto, StartMosquitto, needs_mosquitto
from tests.support.subscriber import Subscriber, publish

pytestmark = needs_mosquitto

BOUND_S = 15.0
VERSIONS = ["5", "3.1.1"]


class Listener:
    """Records the messages that it gets."""

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
    """Yield a connection on which the inbox runs."""
    async with AckedClient(Endpoint(HOST, broker.port, version, "under-test")) as client:
        running = asyncio.create_task(inbox.run(client))
        try:
            yield client
        finally:
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled(), "only its owner may end it"


@pytest.mark.parametrize("version", VERSIONS)
async def test_each_listener_gets_its_messages_on_every_connection(
    mosquitto: StartMosquitto, version: str
) -> None:
    broker = await mosquitto()
    inbox, some, other = Inbox(), Listener(), Listener()
    inbox.subscribe("a/+/b", some)
    inbox.subscribe("other", other)
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


async def test_listeners_are_added_and_removed_while_connected(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    inbox, kept, removed, added = Inbox(), Listener(), Listener(), Listener()
    inbox.subscribe("a", kept)
    inbox.subscribe("b", removed)
    inbox.subscribe("b", kept)
    async with listening(inbox, broker) as client:
        await broker.logged("under-test 1 b")
        inbox.unsubscribe("b", removed)
        inbox.subscribe("c", added)
        await broker.logged("under-test 1 c")
        inbox.unsubscribe("b", kept)
        await broker.logged("UNSUBSCRIBE from under-test")
        for topic in ("b", "c", "a"):
            await client.send(topic, b"now")
        await kept.wait(1)
        await added.wait(1)
    assert [one.topic for one in kept.messages] == ["a"]
    assert removed.messages == []
    since = len(broker.log)
    async with listening(inbox, broker):
        await broker.logged("under-test 1 c", since=since)
    assert not [line for line in broker.log[since:] if "under-test 1 b" in line]


async def test_without_listeners_nothing_is_subscribed_to(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    async with listening(Inbox(), broker) as client:
        await client.send("t", b"a round trip")
    assert not [line for line in broker.log if "SUBSCRIBE" in line]


async def test_a_message_has_its_mqtt_5_properties(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    inbox, listener = Inbox(), Listener()
    inbox.subscribe("t/#", listener)
    async with Subscriber(broker.port, "nothing") as other:
        other.send("t/kept", b"1", retain=True)
        other.send("t/gone", b"2")
        await broker.logged("t/gone")
        async with listening(inbox, broker):
            await listener.wait(1)
            other.send("t/to-be-kept", b"3", retain=True)
            other.send("t/asked", b"4", response_topic="me", correlation=b"\x00\xff")
            messages = await listener.wait(3)
    assert messages == [
        Message("t/kept", b"1", retained=True),
        Message("t/to-be-kept", b"3", retained=True),
        Message("t/asked", b"4", False, "me", b"\x00\xff"),
    ]


async def test_a_listener_that_crashes_affects_no_other(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    inbox, listener = Inbox(), Listener()

    def crash(message: Message) -> None:
        raise ValueError(message.topic)

    inbox.subscribe("a", crash)
    inbox.subscribe("a", listener)
    async with listening(inbox, broker) as client:
        await broker.logged("under-test 1 a")
        with capture_logs() as logs:
            for payload in ("1", "2"):
                await publish(broker.port, "a", payload)
            await listener.wait(2)
        await client.send("t", b"the connection is up")
    assert [line["event"] for line in logs] == ["crashed", "crashed"]


# An ACL file cannot refuse a subscription: mosquitto grants it and delivers nothing.
PLUGIN = Path("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so")


def permissions(*subscriptions: str) -> str:
    """Return a file for mosquitto's plugin: anonymous clients may subscribe to these topics."""
    acls = [{"acltype": "publishClientSend", "topic": "#", "allow": True}]
    acls += [{"acltype": "publishClientReceive", "topic": "#", "allow": True}]
    acls += [{"acltype": "subscribePattern", "topic": one, "allow": True} for one in subscriptions]
    return json.dumps(
        {
            "defaultACLAccess": dict.fromkeys(
                ("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"), False
            ),
            "groups": [{"groupname": "all", "roles": [{"rolename": "some"}]}],
            "roles": [{"rolename": "some", "acls": acls}],
            "anonymousGroup": "all",
        }
    )


@pytest.mark.skipif(not PLUGIN.exists(), reason="NOT TESTED: mosquitto has no dynamic security")
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_refused_subscription_is_tried_again_and_the_connection_stays_up(
    mosquitto: StartMosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr("healthd.mqtt.inbox._RETRY", Backoff(0.2, 0.2))
    rights = tmp_path / "rights.json"
    rights.write_text(permissions("granted"))
    plugin = f"plugin {PLUGIN}\nplugin_opt_config_file {rights}"
    broker = await mosquitto(f"allow_anonymous true\n{plugin}")
    inbox, refused, granted = Inbox(), Listener(), Listener()
    inbox.subscribe("refused", refused)
    inbox.subscribe("granted", granted)
    with capture_logs() as logs:
        async with listening(inbox, broker, version) as client:
            lost = asyncio.ensure_future(client.lost())
            for times in (1, 2, 3):
                await seen(broker, "Received SUBSCRIBE from under-test", times + 1)
                await client.send("granted", b"")
                await granted.wait(times)
            assert not lost.done()
            lost.cancel()
    assert refused.messages == []
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert (warning["event"], warning["topic"]) == ("subscription refused", "refused")


async def seen(broker: Mosquitto, text: str, times: int) -> None:
    """Wait until mosquitto has logged lines with this text this many times."""
    while sum(text in line for line in broker.log) < times:
        await broker.logged(text, since=len(broker.log))


async def test_messages_wait_at_the_broker_for_a_slow_listener(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    inbox, listener, room = Inbox(), Listener(), asyncio.Event()
    inbox.subscribe("t", listener, room.wait)
    async with Subscriber(broker.port, "nothing") as other, listening(inbox, broker) as client:
        await broker.logged("under-test 1 t")
        for number in range(500):
            other.send("t", b"%d" % number)
        await listener.wait(1)
        await client.send("elsewhere", b"is accepted meanwhile")
        assert len(listener.messages) == 1
        room.set()
        assert [one.payload for one in await listener.wait(500)] == [b"%d" % n for n in range(500)]
        assert client.dropped == 0


async def test_a_flood_with_qos_0_is_dropped_and_logged(
    mosquitto: StartMosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.arrivals._MOST_BYTES", 20_000)
    broker = await mosquitto()
    inbox, listener, room = Inbox(), Listener(), asyncio.Event()
    inbox.subscribe("#", listener, room.wait)
    with capture_logs() as logs:
        async with Subscriber(broker.port, "nothing") as other, listening(inbox, broker) as client:
            await broker.logged("under-test 1 #")
            for _ in range(100):
                other.send("t", b"x" * 1000, qos=0)
            await seen(broker, "Received PUBLISH from independent-subscriber", 100)
            await client.send("last", b"")  # acknowledged after they have arrived
            room.set()
            await next_message_arrives(listener, client)
    lost = [line["number"] for line in logs if line["event"] == "messages lost"]
    assert lost
    assert len([one for one in listener.messages if one.topic == "t"]) < 20


async def next_message_arrives(listener: Listener, client: AckedClient) -> None:
    """Send until a message arrives: then the log has a line about those that did not."""
    before = len(listener.messages)
    while not any(one.topic == "later" for one in listener.messages[before:]):
        await client.send("later", b"")


async def test_a_long_payload_is_cut(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    async with (
        AckedClient(Endpoint(HOST, broker.port, "5", "under-test"), 10) as client,
        aclosing(client.listen("t")) as messages,
    ):
        await client.send("t", b"x" * 200_000, retain=True)
        assert (await anext(messages)).payload == b"x" * 10
