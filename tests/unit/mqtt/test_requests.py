"""What a request becomes: one response, whatever it is, and whatever becomes of it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from healthd.mqtt.arrivals import Message
from healthd.mqtt.faults import PublishRefused
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.requests import Requests
from healthd.mqtt.topics import Topics
from healthd.mqtt.unacked import Acknowledgement
from healthd.verbs import BUG, Fetch, Handler, Reconnect, RequestRefused, Scan, Stop
from tests.support.anything import PAYLOADS

TOPICS = Topics("healthd", "gw")
ALLOWED = ("scan", "fetch", "reconnect", "stop")


class Ear(Inbox):
    """An inbox that tells who listens."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[tuple[Any, ...]] = []

    def subscribe(self, *listener: Any, **_: Any) -> None:
        self.listeners.append(listener)


class Desk:
    """Requests, a connection on which what is answered is kept, and handlers.

    Attributes:
        answers: topic, payload and correlation data of each.
        connected: whether there is a connection.
        go: ends a fetch.
    """

    def __init__(self, *allowed: str) -> None:
        self.answers: list[tuple[str, dict[str, Any], bytes | None]] = []
        self.acknowledgements: list[Acknowledgement] = []
        self.connected = True
        self.go = asyncio.Event()
        handlers: dict[str, Handler] = {
            "scan": self._scan,
            "fetch": self._fetch,
            "reconnect": self._reconnect,
            "stop": self._stop,
        }
        self.requests = Requests(TOPICS, handlers, allowed or ALLOWED, self.answer)

    async def _scan(self, request: Scan) -> Mapping[str, Any]:
        return {"seconds": request.seconds}

    async def _fetch(self, request: Fetch) -> Mapping[str, Any]:
        await self.go.wait()
        return {"peripheral": request.peripheral}

    async def _stop(self, request: Stop) -> Mapping[str, Any]:
        return {"stopped": request.peripheral}

    async def _reconnect(self, request: Reconnect) -> Mapping[str, Any]:
        match request.peripheral:
            case "cancelled":
                raise asyncio.CancelledError
            case "strange":
                return {"strange": object()}
            case "buggy":
                return {"half": 1 // 0}
            case _:
                raise RequestRefused("not today")

    def answer(
        self, topic: str, payload: bytes, schema: str, correlation: bytes | None
    ) -> Acknowledgement | None:
        if not self.connected:
            return None
        assert schema == "response/1"
        self.answers.append((topic, orjson.loads(payload), correlation))
        future: Acknowledgement = asyncio.get_running_loop().create_future()
        self.acknowledgements.append(future)
        return future

    def take(self, verb: str, payload: object = b"", **more: Any) -> None:
        raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        how: dict[str, Any] = {"retained": False, **more}
        self.requests.on_message(Message(TOPICS.request(verb), raw, **how))

    async def settled(self) -> list[dict[str, Any]]:
        """The payloads of all answers, once nothing is left to do."""
        for _ in range(10):
            await asyncio.sleep(0)
        return [payload for _, payload, _ in self.answers]


async def test_what_is_asked_for_is_done() -> None:
    desk = Desk()
    desk.take("scan", {"seconds": 2, "transaction": "a"}, response_topic="me", correlation=b"1")
    await desk.settled()
    told = {"status": "ok", "data": {"seconds": 2.0}, "transaction": "a"}
    assert desk.answers == [("me", told, b"1")]


@pytest.mark.parametrize("payload", [b"", b"{}"])
async def test_nothing_is_no_key(payload: bytes) -> None:
    desk = Desk()
    desk.take("scan", payload)
    await desk.settled()
    told = {"status": "ok", "data": {"seconds": 10.0}}
    assert desk.answers == [("healthd/gw/response/scan", told, None)]


async def test_what_a_handler_says_no_to() -> None:
    desk = Desk()
    desk.take("reconnect", {"peripheral": "any", "transaction": 0})
    assert await desk.settled() == [{"status": "error", "error": "not today", "transaction": 0}]


@pytest.mark.parametrize("peripheral", ["buggy", "strange", "cancelled"])
async def test_a_bug_is_told_and_logged_and_is_the_end_of_that_request_alone(
    peripheral: str,
) -> None:
    desk = Desk()
    with capture_logs() as logs:
        desk.take("reconnect", {"peripheral": peripheral})
        desk.take("scan")
        said = {one.get("error") for one in await desk.settled()}
    assert said == {BUG, None}
    assert [line["event"] for line in logs] == ["crashed"]


async def test_a_slow_one_holds_back_nobody_until_there_are_too_many() -> None:
    desk = Desk()
    for _ in range(16):
        desk.take("fetch", {"peripheral": "scale"})
    assert await desk.settled() == []
    desk.take("scan", {"transaction": 17})
    (told,) = await desk.settled()
    assert (told["transaction"], "too many" in told["error"]) == (17, True)
    desk.take("stop", {"peripheral": "treadmill"})
    assert (await desk.settled())[-1]["data"] == {"stopped": "treadmill"}
    desk.go.set()
    assert len(await desk.settled()) == 18
    desk.take("scan")
    assert (await desk.settled())[-1]["status"] == "ok"


async def test_the_next_is_taken_once_the_broker_has_the_responses() -> None:
    desk, ear = Desk(), Ear()
    desk.requests.subscribe(ear)
    ((_, take, room),) = ear.listeners
    assert take == desk.requests.on_message
    for _ in range(5):
        desk.take("dance")
    waiting = asyncio.ensure_future(room())
    await desk.settled()
    assert not waiting.done()
    desk.acknowledgements[0].set_result(None)
    await asyncio.wait_for(waiting, 5)
    # A connection that goes takes what it owes with it.
    desk.take("dance")
    for one in desk.acknowledgements[1:]:
        one.cancel()
    await asyncio.wait_for(room(), 5)


async def test_a_stop_is_told_to_who_waits_and_to_who_comes() -> None:
    desk = Desk()
    desk.take("fetch", {"peripheral": "scale"})
    await desk.settled()
    desk.take("fetch", {"peripheral": "cuff"})  # in the very moment of the stop
    await desk.requests.end()
    desk.take("scan")
    said = [one["error"] for one in await desk.settled()]
    assert said == ["healthd is stopping"] * 3


async def test_without_a_connection_the_response_is_dropped_and_said_to_be() -> None:
    desk = Desk()
    desk.connected = False
    with capture_logs() as logs:
        desk.take("scan")
        assert await desk.settled() == []
    assert [(line["event"], line["log_level"]) for line in logs] == [("response dropped", "info")]


async def test_a_broker_that_refuses_the_response_is_told_of_once() -> None:
    desk = Desk()
    with capture_logs() as logs:
        for _ in range(3):
            desk.take("scan")
            await desk.settled()
            desk.acknowledgements[-1].set_exception(PublishRefused("Not authorized"))
        await desk.settled()
    (line,) = logs
    assert (line["log_level"], line["topic"]) == ("warning", "healthd/gw/response/scan")
    assert line["error"] == "Not authorized"


@given(
    verb=st.sampled_from([*ALLOWED, "start", "dance"]) | st.text(),
    payload=PAYLOADS,
    response_topic=st.sampled_from([None, "me", "healthd/gw/status", "a/+", "$x"]) | st.text(),
    retained=st.booleans(),
)
def test_any_request_gets_one_response_at_a_topic_of_nobody_elses(
    verb: str, payload: bytes, response_topic: str | None, retained: bool
) -> None:
    async def ask() -> None:
        desk = Desk()
        desk.go.set()
        desk.take(verb, payload, response_topic=response_topic, correlation=b"7", retained=retained)
        (told,) = await desk.settled()
        ((topic, _, correlation),) = desk.answers
        assert correlation == b"7"
        assert told["status"] == ("error" if "error" in told else "ok")
        if topic != response_topic:
            assert topic.startswith("healthd/gw/response/")
        assert not set("+#") & set(topic)
        assert not topic.startswith("$")
        assert topic.startswith("healthd/gw/response/") or not topic.startswith("healthd/")
        if retained:
            assert told["status"] == "error"

    asyncio.run(ask())


async def test_where_nothing_is_allowed_nobody_listens() -> None:
    ear = Ear()
    Requests(TOPICS, {}, (), Desk().answer).subscribe(ear)
    assert ear.listeners == []
    Desk().requests.subscribe(ear)
    assert [topic for topic, *_ in ear.listeners] == ["healthd/gw/request/+"]


async def test_what_is_allowed_can_change_and_nothing_is_listened_to_where_nothing_is() -> None:
    desk, inbox = Desk("scan"), Inbox()
    asked = Message(TOPICS.request("stop"), b'{"peripheral":"bike"}', retained=False)
    desk.requests.subscribe(inbox)
    desk.requests.on_message(asked)
    desk.requests.allow(("stop",), inbox)
    desk.requests.on_message(asked)
    await desk.requests.end()
    assert [answer["status"] for _, answer, _ in desk.answers] == ["error", "ok"]
    listened = inbox._listeners  # pyright: ignore[reportPrivateUsage]
    assert [len(one) for one in listened.values()] == [1]
    desk.requests.allow((), inbox)
    assert not listened
    desk.requests.allow(("stop",), inbox)
    assert listened.keys() == {TOPICS.requests}
