"""Requests over MQTT, end to end: the daemon, and a client written from docs/mqtt.md alone."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from structlog.testing import capture_logs

from healthd.simulator.catalogue import CATALOGUE
from healthd.verbs import LONGEST_REQUEST
from tests.end_to_end.requester import RESPONSE_TOPIC, Requester
from tests.end_to_end.simulated_gateway import add, address, device, gateway
from tests.end_to_end.strap_rig import StrapRig
from tests.support.anything import PAYLOADS
from tests.support.conformity import conform
from tests.support.gate import Gate
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.subscriber import Subscriber

# A scan of half a second ends long before this, on any machine.
_DROPPED_S = 20.0

pytestmark = needs_mosquitto

VERBS = ("scan", "fetch", "reconnect")


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    async with Mosquitto(folder) as broker:
        yield broker


class MakeRig(Protocol):
    """The type of the fixture ``rig_with``."""

    def __call__(self, *requests: str, straps: int = ..., **more: Any) -> StrapRig: ...


@pytest.fixture
def rig_with(broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRig:
    """Make a rig whose gateway allows these verbs."""
    monkeypatch.setattr("healthd.simulator.peripheral.ADVERTISING_INTERVAL_MS", 20.0)

    def make(*requests: str, straps: int = 1, **more: Any) -> StrapRig:
        return StrapRig(
            *(tmp_path, broker.port, monkeypatch),
            straps=straps,
            period_s=0.05,
            requests=requests,
            **more,
        )

    return make


async def linked(rig: StrapRig) -> Requester:
    """Wait until all straps stream; return a client that sends requests."""
    await rig.appear()
    await rig.until_streaming(*rig.straps.values())
    return Requester(rig.subscriber)


async def test_a_scan_lists_devices_and_does_not_disturb_links(rig_with: MakeRig) -> None:
    async with rig_with("scan", straps=2) as rig:
        requester = await linked(rig)
        scale = CATALOGUE["weight_scale"].make(address(9), random.Random(1), name="My Scale!")
        await add(rig.air, scale)
        response = await requester.request("scan", {"seconds": 1.0, "transaction": "tx-1"})
        assert (response["status"], response["transaction"]) == ("ok", "tx-1")
        found = {one["address"]: one for one in response["data"]["found"]}
        assert set(found) == {address(1), address(2), address(9)}
        mine, new = found[address(1)], found[address(9)]
        assert (mine["peripheral"], mine["rssi_dbm"], mine["block"]) == ("strap-1", None, None)
        assert (new["peripheral"], new["suggested_id"]) == (None, "my-scale")
        assert new["is_readable"] is True
        assert new["profiles"][0] == "weight_scale"
        assert new["rssi_dbm"] < 0
        assert new["block"].startswith(
            f'[[peripherals]]\nid = "my-scale"\naddress = "{address(9)}"'
        )
        await rig.until_delivered()
        assert [strap.link_ends for strap in rig.straps.values()] == [[], []]
        await rig.stop()
        rig.check()
        (info, *_) = [one.json() for one in rig.subscriber.at("healthd/gateway/info")]
        assert info["requests"] == ["scan"]


async def test_a_scan_continues_while_a_strap_is_searched_and_linked(rig_with: MakeRig) -> None:
    async with rig_with("scan", straps=2) as rig:
        first, late = rig.straps.values()
        await first.peripheral.appear()
        await rig.until_streaming(first)
        requester = Requester(rig.subscriber)
        scan = requester.send("scan", {"seconds": 1.5})
        await late.peripheral.appear()
        await rig.until_streaming(late)
        found = (await requester.response_to(scan))["data"]["found"]
        assert {one["peripheral"] for one in found} == {"strap-1", "strap-2"}
        assert first.link_ends == []


async def test_reconnect_ends_the_link_and_makes_a_new_one(rig_with: MakeRig) -> None:
    async with rig_with("reconnect", straps=2) as rig:
        requester = await linked(rig)
        strap, other = rig.straps.values()
        response = await requester.request("reconnect", {"peripheral": "strap-1"})
        assert response["status"] == "ok", response
        assert response["data"]["peripheral"] == "strap-1"
        assert response["data"]["duration_s"] > 0
        assert (len(strap.link_ends), other.link_ends) == (1, [])
        await rig.until_received(strap, 3)
        gap = await rig.subscriber.until(
            lambda all_: next((m for m in all_ if m.topic == "healthd/gateway/event/gap"), None)
        )
        assert (gap.json()["peripheral"], gap.json()["reason"]) == (
            "strap-1",
            "reconnect_requested",
        )
        ups_and_downs = [
            (one.json()["change"], one.json().get("reason"))
            for one in rig.subscriber.at("healthd/gateway/event/link")
            if one.json()["peripheral"] == "strap-1"
        ]
        assert ups_and_downs == [("up", None), ("down", "reconnect_requested"), ("up", None)]
        await rig.stop()
        rig.check()


async def test_a_failed_reconnect_is_explained_and_healthd_keeps_trying(
    rig_with: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig_with("reconnect") as rig:
        requester = await linked(rig)
        (strap,) = rig.straps.values()
        # The first samples arrive before that, and must not count for the next link.
        await rig.until_published(strap, 0, b"online", state="streaming")
        since = len(rig.subscriber.messages)
        with monkeypatch.context() as short_wait:
            short_wait.setattr("healthd.gateway.handlers._RECONNECT_S", 0.001)
            response = await requester.request("reconnect", {"peripheral": "strap-1"})
        assert "not connected again within" in response["error"]
        assert "healthd keeps trying" in response["error"]
        # The response may be faster than the end of the link; the session's state follows it.
        await rig.subscriber.until(lambda _: strap.link_ends)
        await rig.until_recovered(strap)
        await rig.until_published(strap, since, b"online", state="streaming")
        assert len(strap.link_ends) == 1
        since = len(rig.subscriber.messages)
        await strap.peripheral.vanish()
        await rig.until_published(strap, since, b"offline", state="searching")
        response = await requester.request("reconnect", {"peripheral": "strap-1"})
        assert "the peripheral is not streaming (state: searching)" in response["error"]


async def test_a_fetch_is_answered_with_its_outcome(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.sessions.collect.QUIET_S", 1.0)
    settings = {
        "gateway": {"id": "gateway"},
        "mqtt": {"brokers": [broker.address], "requests": ["fetch", "reconnect"]},
        "outbox": {"directory": tmp_path, "max_size": "4MB"},
    }
    entries = [{"id": "cuff", "address": address(2), "every": "1h", "window": "20s"}]
    async with Subscriber(broker.port) as subscriber:
        async with gateway(subscriber, settings, entries) as air:
            await add(air, device("blood_pressure", 2))
            requester = Requester(subscriber)
            await broker.logged("1 healthd/gateway/request/+")  # the subscription exists
            response = await requester.request("fetch", {"peripheral": "cuff"})
            assert response["status"] == "ok", response
            assert response["data"]["outcome"] == "new_data"
            # The event follows the samples of the run in the outbox, the response does not.
            events = await subscriber.until(lambda _: subscriber.at("healthd/gateway/event/fetch"))
            assert response["data"]["fetch_run"] == events[0].json()["fetch_run"]
            response = await requester.request("reconnect", {"peripheral": "cuff"})
            assert "expected a continuous one" in response["error"]
        conform(subscriber.messages)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_the_response_topic_and_what_is_returned(rig_with: MakeRig, version: str) -> None:
    async with rig_with("scan", version=version) as rig:
        requester = await linked(rig)
        correlation = requester.send("scan", {"seconds": 0.01, "transaction": 7})
        where = RESPONSE_TOPIC if version == "5" else "healthd/gateway/response/scan"
        answer = await rig.subscriber.until(lambda _: rig.subscriber.at(where))
        assert answer[0].json()["transaction"] == 7
        assert answer[0].correlation == (correlation if version == "5" else None)
        assert (answer[0].qos, answer[0].retained) == (1, False)
        # Without a response topic both versions behave the same.
        rig.subscriber.send("healthd/gateway/request/dance", b'{"transaction": 1.5}')
        answer = await rig.subscriber.until(
            lambda _: rig.subscriber.at("healthd/gateway/response/dance")
        )
        response = answer[0].json()
        assert (response["status"], response["transaction"]) == ("error", 1.5)
        assert 'found the verb "dance", expected one of scan, fetch, rec' in response["error"]
        await rig.stop()
        if version == "5":
            rig.check()


WRONG: list[tuple[str, object, dict[str, Any], str]] = [
    ("scan", b"seconds=5", {}, "found invalid JSON"),
    ("scan", b"\xff\xfe", {}, "found invalid JSON"),
    ("scan", [5], {}, "found [5], expected a JSON object"),
    ("scan", {"second": 5}, {}, 'unknown key "second", expected one of transaction, time, seconds'),
    ("scan", {f"x{n}": n for n in range(300)}, {}, "; and 292 more"),
    ("scan", {"seconds": "5"}, {}, 'seconds: found "5", expected a number'),
    ("scan", {"seconds": 61}, {}, "seconds: found 61, expected less than or equal to 60"),
    ("scan", {"transaction": {}}, {}, "transaction: found {}, expected text or a whole number"),
    ("scan", {"transaction": "x" * LONGEST_REQUEST}, {}, "longer than 4096 bytes"),
    ("scan", b"x" * 200_000, {}, "longer than 4096 bytes"),
    ("scan", {}, {"retain": True}, "found a retained request"),
    ("reconnect", {}, {}, "peripheral: found nothing, expected a value"),
    ("reconnect", b"", {}, "peripheral: found nothing"),
    (
        "reconnect",
        {"peripheral": "scale"},
        {},
        "expected one of the running healthd: strap-1",
    ),
    ("fetch", {"peripheral": "strap-1"}, {}, "one that [mqtt] requests allows in this gateway"),
    ("dance", {}, {}, 'found the verb "dance", expected one of scan, fetch, reconnect'),
    ("", {}, {}, 'found the verb ""'),
    ("a b", {}, {"response_topic": None}, 'found the verb "a b"'),
    ("scan", {}, {"response_topic": "$SYS/broker"}, "not beginning with $"),
    (
        "scan",
        {},
        {"response_topic": "healthd/gateway/device/strap-1/heart_rate"},
        "expected one below",
    ),
    (
        "scan",
        {},
        {"response_topic": "healthd/gateway/request/scan"},
        "below healthd/gateway/response/",
    ),
    ("scan", {}, {"response_topic": "healthd/other/status"}, "below healthd/gateway/response/"),
    ("scan", {}, {"response_topic": "healthd"}, "below healthd/gateway/response/"),
]


async def test_wrong_requests_get_one_error_each(rig_with: MakeRig) -> None:
    async with rig_with("scan", "reconnect") as rig:
        requester = await linked(rig)
        for verb, payload, how, error in WRONG:
            response = await requester.request(verb, payload, **how)
            assert (response["status"], "data" in response) == ("error", False)
            assert error in response["error"], (verb, payload, how)
        assert set((await requester.response_counts(len(WRONG))).values()) == {1}
        # Delete the retained request.
        rig.subscriber.send("healthd/gateway/request/scan", retain=True)
        assert (await requester.request("scan", {"seconds": 0.01}))["status"] == "ok"
        await rig.stop()
        rig.check()
    where = {one.topic for one in rig.subscriber.messages if "/response/" in one.topic}
    own = {f"healthd/gateway/response/{verb}" for verb in ("scan", "unknown")}
    assert where == {RESPONSE_TOPIC} | own


async def test_a_retained_request_that_waits_at_the_broker_is_not_carried_out(
    rig_with: MakeRig, broker: Mosquitto
) -> None:
    async with Subscriber(broker.port, "nothing", name="before") as before:
        before.send("healthd/gateway/request/reconnect", b'{"peripheral":"strap-1"}', retain=True)
        await broker.logged("request/reconnect")
        async with rig_with("reconnect") as rig:
            requester = await linked(rig)
            (response,) = await rig.subscriber.until(
                lambda _: rig.subscriber.at("healthd/gateway/response/reconnect")
            )
            assert "found a retained request" in response.json()["error"]
            (strap,) = rig.straps.values()
            await rig.until_received(strap, 3)
            assert strap.link_ends == []
            assert (await requester.request("reconnect", {"peripheral": "strap-1"}))[
                "status"
            ] == "ok"


async def test_without_allowed_requests_there_is_no_subscription(
    rig_with: MakeRig, broker: Mosquitto
) -> None:
    async with rig_with() as rig:
        requester = await linked(rig)
        requester.send("scan", {"seconds": 0.01})
        (strap,) = rig.straps.values()
        await rig.until_received(strap, 5)
        await rig.until_delivered()
        assert not [one for one in rig.subscriber.messages if "/response/" in one.topic]
    subscriptions = [line for line in broker.log if "Received SUBSCRIBE" in line]
    assert [line.rpartition(" ")[2] for line in subscriptions] == ["independent-subscriber"]


def malformed(number: int) -> list[bytes]:
    """Return ``number`` different payloads, none of them a request to an existing peripheral."""
    found: dict[bytes, None] = {}

    @hypothesis_settings(max_examples=number * 6 // 5, database=None)
    @given(PAYLOADS)
    def collect(payload: bytes) -> None:
        if b"strap-" not in payload:
            found[payload] = None

    collect()
    assert len(found) >= number
    return list(found)


@pytest.mark.untraced
async def test_a_thousand_malformed_requests_get_one_error_each_and_lose_no_sample(
    rig_with: MakeRig, measured: Callable[[str], None]
) -> None:
    payloads = await asyncio.to_thread(malformed, 1000)
    async with rig_with(*VERBS, straps=3) as rig:
        requester = await linked(rig)
        before = sum(len(strap.received) for strap in rig.straps.values())
        sent = {requester.send(VERBS[1 + n % 2], one): one for n, one in enumerate(payloads)}
        answers = await requester.response_counts(len(sent))
        assert answers == dict.fromkeys(sent, 1)
        responses = [one.json() for one in rig.subscriber.at(RESPONSE_TOPIC)]
        assert {one["status"] for one in responses} == {"error"}
        during = sum(len(strap.received) for strap in rig.straps.values()) - before
        for strap in rig.straps.values():
            await rig.until_received(strap, 5)
        assert (await requester.request("scan", {"seconds": 0.01}))["status"] == "ok"
        assert [strap.link_ends for strap in rig.straps.values()] == [[], [], []]
        await rig.stop()
        rig.check()
        measured(f"{len(sent)} malformed requests; {during} samples meanwhile; {rig.summary()}")


@pytest.mark.untraced
async def test_a_flood_of_requests_is_answered_and_loses_no_sample(
    rig_with: MakeRig, measured: Callable[[str], None]
) -> None:
    async with rig_with("scan", straps=3) as rig:
        requester = await linked(rig)
        loop = asyncio.get_running_loop()
        began, before = loop.time(), sum(len(one.received) for one in rig.straps.values())
        sent = [requester.send("scan", {"seconds": 0.2}) for _ in range(3000)]
        assert await requester.response_counts(len(sent)) == dict.fromkeys(sent, 1)
        took_s = loop.time() - began
        during = sum(len(one.received) for one in rig.straps.values()) - before
        responses = [one.json() for one in rig.subscriber.at(RESPONSE_TOPIC)]
        said = Counter(one.get("error", one["status"]) for one in responses)
        assert said.keys() == {"ok", "too many requests at a time: 16 are in progress"}
        assert said["ok"] >= 16
        # All samples were delivered live: none was stored on disk.
        await rig.until_delivered()
        assert [rig.delivered(strap).history for strap in rig.straps.values()] == [[], [], []]
        await rig.stop()
        rig.check()
        measured(f"{len(sent)} requests in {took_s:.1f} s, {said['ok']} ok; {during} samples")


async def test_a_lost_connection_loses_the_response_and_nothing_else(
    rig_with: MakeRig, broker: Mosquitto
) -> None:
    async with Gate(broker.port) as gate:
        await gate.open()
        async with rig_with("scan", "reconnect", daemon_port=gate.port) as rig:
            requester = await linked(rig)
            (strap,) = rig.straps.values()
            lost = requester.send("scan", {"seconds": 0.5})
            survives = requester.send("scan", {"seconds": 4.0})
            await broker.logged("Received PUBLISH from independent-subscriber")
            assert (await requester.request("scan", {"seconds": 0.01}))["status"] == "ok"
            since = len(rig.subscriber.messages)
            with capture_logs() as lines:
                await gate.cut()
                await rig.subscriber.until_payload(
                    "healthd/gateway/status", b"offline", since=since
                )
                async with asyncio.timeout(_DROPPED_S):
                    # The first scan is over, and its response cannot be sent: only a log line.
                    while not any(one["event"] == "response dropped" for one in lines):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            await gate.open()
            await rig.subscriber.until_payload("healthd/gateway/status", b"online", since=since)
            assert (await requester.response_to(survives))["status"] == "ok"
            answers = await requester.response_counts(2)
            assert answers[lost] == 0
            assert (await requester.request("reconnect", {"peripheral": "strap-1"}))[
                "status"
            ] == "ok"
            await rig.until_received(strap, 3)
            await rig.stop()
            rig.check()


async def test_a_waiting_client_gets_a_response_when_healthd_stops(rig_with: MakeRig) -> None:
    async with rig_with("scan") as rig:
        requester = await linked(rig)
        waiting = requester.send("scan", {"seconds": 60})
        # Answered after the first request arrived, so that one is in progress by now.
        await requester.request("scan", {"seconds": 0.01})
        await rig.stop()
        response = await requester.response_to(waiting)
        assert response == {"status": "error", "error": "healthd is stopping"}
        assert rig.subscriber.messages[-1].topic == "healthd/gateway/status"
        rig.check()
