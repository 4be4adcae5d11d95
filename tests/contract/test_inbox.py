"""What healthd listens to, on a real broker: handed out, and no harm to the connection."""

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


async def test_listeners_come_and_go_while_there_is_a_connection(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    inbox, stays, goes, comes = Inbox(), Heard(), Heard(), Heard()
    inbox.subscribe("a", stays)
    inbox.subscribe("b", goes)
    inbox.subscribe("b", stays)
    async with listening(inbox, broker) as client:
        await broker.logged("under-test 1 b")
        inbox.unsubscribe("b", goes)
        inbox.subscribe("c", comes)
        await broker.logged("under-test 1 c")
        inbox.unsubscribe("b", stays)
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


async def test_what_mqtt_5_says_beside_the_payload_is_there(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    inbox, heard = Inbox(), Heard()
    inbox.subscribe("t/#", heard)
    async with Subscriber(broker.port, "nothing") as other:
        other.send("t/kept", b"1", retain=True)
        other.send("t/gone", b"2")
        await broker.logged("t/gone")
        async with listening(inbox, broker):
            await heard.wait(1)
            other.send("t/to-be-kept", b"3", retain=True)
            other.send("t/asked", b"4", response_topic="me", correlation=b"\x00\xff")
            messages = await heard.wait(3)
    assert messages == [
        Message("t/kept", b"1", retained=True),
        Message("t/to-be-kept", b"3", retained=True),
        Message("t/asked", b"4", False, "me", b"\x00\xff"),
    ]


async def test_a_listener_that_crashes_harms_nobody(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    inbox, heard = Inbox(), Heard()

    def crash(message: Message) -> None:
        raise ValueError(message.topic)

    inbox.subscribe("a", crash)
    inbox.subscribe("a", heard)
    async with listening(inbox, broker) as client:
        await broker.logged("under-test 1 a")
        with capture_logs() as logs:
            for payload in ("1", "2"):
                await publish(broker.port, "a", payload)
            await heard.wait(2)
        await client.send("t", b"the connection is there")
    assert [line["event"] for line in logs] == ["crashed", "crashed"]


# Not by an ACL file: whatever mosquitto's says, it grants every subscription, and delivers nothing.
PLUGIN = Path("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so")


def permissions(*subscriptions: str) -> str:
    """What mosquitto's plugin reads: anonymous clients may subscribe to these."""
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
async def test_a_refused_subscription_is_asked_for_again_and_costs_nothing(
    mosquitto: StartMosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr("healthd.mqtt.inbox._RETRY", Backoff(0.2, 0.2))
    rights = tmp_path / "rights.json"
    rights.write_text(permissions("granted"))
    plugin = f"plugin {PLUGIN}\nplugin_opt_config_file {rights}"
    broker = await mosquitto(f"allow_anonymous true\n{plugin}")
    inbox, refused, granted = Inbox(), Heard(), Heard()
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
    (told,) = [line for line in logs if line["log_level"] == "warning"]
    assert (told["event"], told["topic"]) == ("subscription refused", "refused")


async def seen(broker: Mosquitto, text: str, times: int) -> None:
    """Wait until mosquitto has logged a line so often."""
    while sum(text in line for line in broker.log) < times:
        await broker.logged(text, since=len(broker.log))


async def test_who_is_slow_leaves_messages_at_the_broker(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    inbox, heard, room = Inbox(), Heard(), asyncio.Event()
    inbox.subscribe("t", heard, room.wait)
    async with Subscriber(broker.port, "nothing") as other, listening(inbox, broker) as client:
        await broker.logged("under-test 1 t")
        for number in range(500):
            other.send("t", b"%d" % number)
        await heard.wait(1)
        await client.send("elsewhere", b"goes through meanwhile")
        assert len(heard.messages) == 1
        room.set()
        assert [one.payload for one in await heard.wait(500)] == [b"%d" % n for n in range(500)]
        assert client.dropped == 0


async def test_a_flood_that_nothing_holds_back_is_cut_off_and_told(
    mosquitto: StartMosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.arrivals._MOST_BYTES", 20_000)
    broker = await mosquitto()
    inbox, heard, room = Inbox(), Heard(), asyncio.Event()
    inbox.subscribe("#", heard, room.wait)
    with capture_logs() as logs:
        async with Subscriber(broker.port, "nothing") as other, listening(inbox, broker) as client:
            await broker.logged("under-test 1 #")
            for _ in range(100):
                other.send("t", b"x" * 1000, qos=0)
            await seen(broker, "Received PUBLISH from independent-subscriber", 100)
            await client.send("last", b"")  # acknowledged behind them: by then they have come
            room.set()
            await other_is_heard(heard, client)
    lost = [line["number"] for line in logs if line["event"] == "messages lost"]
    assert lost
    assert len([one for one in heard.messages if one.topic == "t"]) < 20


async def other_is_heard(heard: Heard, client: AckedClient) -> None:
    """Send until a message comes through, and with it the line about those that did not."""
    before = len(heard.messages)
    while not any(one.topic == "again" for one in heard.messages[before:]):
        await client.send("again", b"")


async def test_a_long_payload_is_cut(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    async with (
        AckedClient(Endpoint(HOST, broker.port, "5", "under-test"), 10) as client,
        aclosing(client.listen("t")) as messages,
    ):
        await client.send("t", b"x" * 1_000_000, retain=True)
        assert (await anext(messages)).payload == b"x" * 10
