"""Every request gets one response, whatever it contains and however it ends."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from healthd.host.clock import Clock
from healthd.mqtt.arrivals import Message
from healthd.mqtt.faults import TOO_LARGE, PublishRefused
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.requests import Requests
from healthd.mqtt.topics import Topics
from healthd.mqtt.unacked import Acknowledgement
from healthd.verbs import BUG, Fetch, Handler, Reconnect, RequestRefused, Scan, Stop
from tests.support.anything import PAYLOADS

TOPICS = Topics("healthd", "gw")
ALLOWED = ("scan", "fetch", "reconnect", "stop")


class RecordingInbox(Inbox):
    """Records its listeners."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[tuple[Any, ...]] = []

    def subscribe(self, *listener: Any, **_: Any) -> None:
        self.listeners.append(listener)


class Bench:
    """Requests with handlers, and a connection that records the responses.

    Attributes:
        responses: topic, payload and correlation data of each.
        connected: whether there is a connection.
        padding: makes the response to a scan longer.
        go: lets fetches end.
    """

    def __init__(self, *allowed: str) -> None:
        self.responses: list[tuple[str, dict[str, Any], bytes | None]] = []
        self.acknowledgements: list[Acknowledgement] = []
        self.connected = True
        self.padding = ""
        self.go = asyncio.Event()
        handlers: dict[str, Handler] = {
            "scan": self._scan,
            "fetch": self._fetch,
            "reconnect": self._reconnect,
            "stop": self._stop,
        }
        self.requests = Requests(TOPICS, handlers, allowed or ALLOWED, self.publish, Clock())

    async def _scan(self, request: Scan) -> Mapping[str, Any]:
        padding = {"padding": self.padding} if self.padding else {}
        return {"seconds": request.seconds, **padding}

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

    def publish(
        self, topic: str, payload: bytes, schema: str, correlation: bytes | None
    ) -> Acknowledgement | None:
        if not self.connected:
            return None
        assert schema == "response/1"
        self.responses.append((topic, orjson.loads(payload), correlation))
        future: Acknowledgement = asyncio.get_running_loop().create_future()
        self.acknowledgements.append(future)
        return future

    def request(self, verb: str, payload: object = b"", **more: Any) -> None:
        raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        how: dict[str, Any] = {"retained": False, **more}
        self.requests.on_message(Message(TOPICS.request(verb), raw, **how))

    async def settled(self) -> list[dict[str, Any]]:
        """Wait until nothing is left to do; return the payloads of all responses."""
        for _ in range(10):
            await asyncio.sleep(0)
        return [payload for _, payload, _ in self.responses]


async def test_a_request_is_carried_out_and_answered() -> None:
    bench = Bench()
    me = "healthd/gw/response/me"
    bench.request("scan", {"seconds": 2, "transaction": "a"}, response_topic=me, correlation=b"1")
    await bench.settled()
    response = {"status": "ok", "data": {"seconds": 2.0}, "transaction": "a"}
    assert bench.responses == [(me, response, b"1")]


@pytest.mark.parametrize("payload", [b"", b"{}"])
async def test_an_empty_payload_has_no_keys(payload: bytes) -> None:
    bench = Bench()
    bench.request("scan", payload)
    await bench.settled()
    response = {"status": "ok", "data": {"seconds": 10.0}}
    assert bench.responses == [("healthd/gw/response/scan", response, None)]


async def test_a_stop_is_carried_out_wherever_its_response_shall_go() -> None:
    bench = Bench()
    ask: dict[str, Any] = {"response_topic": "homeassistant/status", "correlation": b"1" * 999}
    bench.request("stop", {"peripheral": "a"}, **ask)
    bench.request("reconnect", {"peripheral": "a"}, **ask)
    done, refused = sorted(await bench.settled(), key=lambda response: "data" not in response)
    assert done["data"] == {"stopped": "a"}
    assert "the response topic" in refused["error"]
    assert {topic for topic, _, _ in bench.responses} == {
        "healthd/gw/response/stop",
        "healthd/gw/response/reconnect",
    }


async def test_a_response_that_is_too_large_for_the_broker_is_replaced_by_an_error() -> None:
    bench = Bench()
    bench.request("scan", {"transaction": "x" * 100})
    await bench.settled()
    bench.acknowledgements[0].set_exception(PublishRefused("large", TOO_LARGE))
    _, error = await bench.settled()
    assert error == {"status": "error", "error": "large", "transaction": "x" * 100}
    # Not even the error fits.
    bench.acknowledgements[1].set_exception(PublishRefused("still large", TOO_LARGE))
    assert len(await bench.settled()) == 2


async def test_a_response_that_ended_the_connection_twice_is_replaced_by_an_error() -> None:
    """A broker that names no limit may disconnect instead of refusing what is too large; D12."""
    bench = Bench()
    bench.padding = "x" * 1000
    for number in range(2):
        bench.request("scan")
        assert len(await bench.settled()) == number + 1
        bench.acknowledgements[-1].cancel()
        await bench.settled()
    bench.request("scan")
    assert (await bench.settled())[-1]["error"] == "the response may be too large for the broker"
    bench.acknowledgements[-1].set_result(None)
    # It is tried again, as the cause may have been another one.
    bench.request("scan")
    assert (await bench.settled())[-1]["status"] == "ok"
    bench.acknowledgements[-1].set_result(None)
    bench.request("scan")
    assert (await bench.settled())[-1]["status"] == "ok"


async def test_responses_that_the_broker_does_not_take_are_bounded() -> None:
    """D11: requests to stop are carried out however many responses wait."""
    bench = Bench()
    with capture_logs() as logs:
        for _ in range(200):
            bench.request("stop", {"peripheral": "treadmill"})
            await bench.settled()
    assert len(bench.responses) == 100
    (line,) = [line for line in logs if line["event"] == "responses dropped"]
    assert line["log_level"] == "warning"


async def test_one_request_of_a_flood_is_answered() -> None:
    bench, inbox = Bench(), Inbox()
    bench.requests.subscribe(inbox)
    listeners = inbox._listeners  # pyright: ignore[reportPrivateUsage]
    ((listener,),) = listeners.values()
    assert list(listener.urgent()) == [TOPICS.request("stop")]
    listener.on_flood(Message(TOPICS.request("scan"), b"{}", retained=False))
    (response,) = await bench.settled()
    assert response["error"] == "too many requests; healthd accepts none for now"


async def test_the_empty_message_that_removes_a_retained_request_gets_no_response() -> None:
    bench = Bench()
    bench.request("scan", {"seconds": 2}, retained=True)
    bench.request("scan", b"", retained=True)
    (refused,) = await bench.settled()
    assert "retained" in refused["error"]
    bench.request("scan", b"")
    assert len(await bench.settled()) == 2


async def test_over_mqtt_3_1_1_an_empty_message_after_a_request_removes_it() -> None:
    """The broker does not pass the retain flag on to an existing subscription."""
    bench = Bench()
    bench.request("scan", b"", as_published=False)
    bench.request("scan", {"seconds": 2}, as_published=False)
    bench.request("scan", b"", as_published=False)
    assert [each["data"]["seconds"] for each in await bench.settled()] == [10.0, 2.0]
    bench.request("scan", b"", as_published=False)
    bench.request("any", b"{}", as_published=False)
    bench.request("any", b"", as_published=False)
    statuses = [each["status"] for each in await bench.settled()]
    assert sorted(statuses) == ["error", "error", "ok", "ok", "ok"]


async def test_a_handler_may_refuse_a_request() -> None:
    bench = Bench()
    bench.request("reconnect", {"peripheral": "any", "transaction": 0})
    assert await bench.settled() == [{"status": "error", "error": "not today", "transaction": 0}]


@pytest.mark.parametrize("peripheral", ["buggy", "strange", "cancelled"])
async def test_a_bug_in_a_handler_is_answered_and_logged_and_affects_no_other_request(
    peripheral: str,
) -> None:
    bench = Bench()
    with capture_logs() as logs:
        bench.request("reconnect", {"peripheral": peripheral})
        bench.request("scan")
        errors = {one.get("error") for one in await bench.settled()}
    assert errors == {BUG, None}
    assert [line["event"] for line in logs] == ["crashed"]


async def test_slow_requests_do_not_delay_others_until_there_are_too_many() -> None:
    bench = Bench()
    for _ in range(16):
        bench.request("fetch", {"peripheral": "scale"})
    assert await bench.settled() == []
    bench.request("scan", {"transaction": 17})
    (response,) = await bench.settled()
    assert (response["transaction"], "too many" in response["error"]) == (17, True)
    bench.request("stop", {"peripheral": "treadmill"})
    assert (await bench.settled())[-1]["data"] == {"stopped": "treadmill"}
    bench.go.set()
    assert len(await bench.settled()) == 18
    bench.request("scan")
    assert (await bench.settled())[-1]["status"] == "ok"


async def test_the_next_request_is_accepted_once_the_broker_has_the_responses() -> None:
    bench, inbox = Bench(), RecordingInbox()
    bench.requests.subscribe(inbox)
    ((_, on_message, room),) = inbox.listeners
    assert on_message == bench.requests.on_message
    for _ in range(5):
        bench.request("dance")
    waiting = asyncio.ensure_future(room())
    await bench.settled()
    assert not waiting.done()
    bench.acknowledgements[0].set_result(None)
    await asyncio.wait_for(waiting, 5)
    # A lost connection cancels its acknowledgements.
    bench.request("dance")
    for acknowledgement in bench.acknowledgements[1:]:
        acknowledgement.cancel()
    await asyncio.wait_for(room(), 5)


async def test_a_stop_answers_current_and_new_requests() -> None:
    bench = Bench()
    bench.request("fetch", {"peripheral": "scale"})
    await bench.settled()
    bench.request("fetch", {"peripheral": "cuff"})  # not started yet when the stop comes
    await bench.requests.end()
    bench.request("scan")
    errors = [one["error"] for one in await bench.settled()]
    assert errors == ["healthd is stopping"] * 3


async def test_without_a_connection_the_response_is_dropped_and_logged() -> None:
    bench = Bench()
    bench.connected = False
    with capture_logs() as logs:
        bench.request("scan")
        assert await bench.settled() == []
    assert [(line["event"], line["log_level"]) for line in logs] == [("response dropped", "info")]


async def test_a_response_that_the_broker_refuses_is_logged_once() -> None:
    bench = Bench()
    with capture_logs() as logs:
        for _ in range(3):
            bench.request("scan")
            await bench.settled()
            bench.acknowledgements[-1].set_exception(PublishRefused("Not authorized"))
        await bench.settled()
    (line,) = logs
    assert (line["log_level"], line["topic"]) == ("warning", "healthd/gw/response/scan")
    assert line["error"] == "Not authorized"


@given(
    verb=st.sampled_from([*ALLOWED, "start", "dance"]) | st.text(),
    payload=PAYLOADS,
    response_topic=st.sampled_from(
        [None, "me", "healthd/gw/response/me", "healthd/gw/status", "a/+", "$x"]
    )
    | st.text(),
    retained=st.booleans(),
)
def test_any_request_gets_one_response_at_an_allowed_topic(
    verb: str, payload: bytes, response_topic: str | None, retained: bool
) -> None:
    async def send() -> None:
        bench = Bench()
        bench.go.set()
        bench.request(
            verb, payload, response_topic=response_topic, correlation=b"7", retained=retained
        )
        responses = await bench.settled()
        if retained and not payload:
            assert responses == []  # it removes a retained request
            return
        (response,) = responses
        ((topic, _, correlation),) = bench.responses
        assert correlation == b"7"
        assert response["status"] == ("error" if "error" in response else "ok")
        if topic != response_topic:
            assert topic.startswith("healthd/gw/response/")
        assert not set("+#") & set(topic)
        assert not topic.startswith("$")
        assert topic.startswith("healthd/gw/response/") or not topic.startswith("healthd/")
        if retained:
            assert response["status"] == "error"

    asyncio.run(send())


async def test_without_an_allowed_verb_nothing_is_subscribed_to() -> None:
    inbox = RecordingInbox()
    Requests(TOPICS, {}, (), Bench().publish, Clock()).subscribe(inbox)
    assert inbox.listeners == []
    Bench().requests.subscribe(inbox)
    assert [topic for topic, *_ in inbox.listeners] == ["healthd/gw/request/+"]


async def test_allowed_verbs_can_change_and_without_any_the_inbox_is_unsubscribed() -> None:
    bench, inbox = Bench("scan"), Inbox()
    stop = Message(TOPICS.request("stop"), b'{"peripheral":"bike"}', retained=False)
    bench.requests.subscribe(inbox)
    bench.requests.on_message(stop)
    bench.requests.allow(("stop",), inbox)
    bench.requests.on_message(stop)
    await bench.requests.end()
    assert [response["status"] for _, response, _ in bench.responses] == ["error", "ok"]
    listeners = inbox._listeners  # pyright: ignore[reportPrivateUsage]
    assert [len(one) for one in listeners.values()] == [1]
    bench.requests.allow((), inbox)
    assert not listeners
    bench.requests.allow(("stop",), inbox)
    assert listeners.keys() == {TOPICS.requests}
