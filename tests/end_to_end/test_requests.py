"""Requests over MQTT, end to end: a client that knows docs/mqtt.md alone, and the daemon."""

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

from healthd.mqtt.requests import LONGEST_REQUEST
from healthd.simulator.catalogue import CATALOGUE
from tests.end_to_end.asking import ANSWERS, Asker
from tests.end_to_end.fetching import add, address, device, gateway
from tests.end_to_end.ward import Ward
from tests.support.anything import PAYLOADS
from tests.support.conformity import conform
from tests.support.gate import Gate
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.subscriber import Subscriber

# A scan of half a second is over long before, on any machine.
_DROPPED_S = 20.0

pytestmark = needs_mosquitto

VERBS = ("scan", "fetch", "reconnect")


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    async with Mosquitto(folder) as broker:
        yield broker


class MakeWard(Protocol):
    """What the fixture ``ward_with`` is."""

    def __call__(self, *requests: str, straps: int = ..., **more: Any) -> Ward: ...


@pytest.fixture
def ward_with(broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeWard:
    """Makes a ward whose gateway may be asked for these verbs."""
    monkeypatch.setattr("healthd.simulator.peripheral.ADVERTISING_INTERVAL_MS", 20.0)

    def make(*requests: str, straps: int = 1, **more: Any) -> Ward:
        return Ward(
            *(tmp_path, broker.port, monkeypatch),
            straps=straps,
            period_s=0.05,
            requests=requests,
            **more,
        )

    return make


async def linked(ward: Ward) -> Asker:
    """Somebody who asks, once all straps stream."""
    await ward.appear()
    await ward.streaming(*ward.straps.values())
    return Asker(ward.subscriber)


async def test_a_scan_tells_who_is_here_and_disturbs_nobody(ward_with: MakeWard) -> None:
    async with ward_with("scan", straps=2) as ward:
        asker = await linked(ward)
        scale = CATALOGUE["weight_scale"].make(address(9), random.Random(1), name="My Scale!")
        await add(ward.air, scale)
        told = await asker.ask("scan", {"seconds": 1.0, "transaction": "tx-1"})
        assert (told["status"], told["transaction"]) == ("ok", "tx-1")
        found = {one["address"]: one for one in told["data"]["found"]}
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
        await ward.caught_up()
        assert [strap.link_ends for strap in ward.straps.values()] == [[], []]
        await ward.stop()
        ward.check()
        (info, *_) = [one.json() for one in ward.subscriber.at("healthd/gateway/info")]
        assert info["requests"] == ["scan"]


async def test_a_scan_goes_on_while_somebody_is_searched_and_linked(ward_with: MakeWard) -> None:
    async with ward_with("scan", straps=2) as ward:
        first, late = ward.straps.values()
        await first.peripheral.appear()
        await ward.streaming(first)
        asker = Asker(ward.subscriber)
        scan = asker.send("scan", {"seconds": 1.5})
        await late.peripheral.appear()
        await ward.streaming(late)
        found = (await asker.answered(scan))["data"]["found"]
        assert {one["peripheral"] for one in found} == {"strap-1", "strap-2"}
        assert first.link_ends == []


async def test_reconnecting_ends_the_link_and_makes_a_new_one(ward_with: MakeWard) -> None:
    async with ward_with("reconnect", straps=2) as ward:
        asker = await linked(ward)
        strap, other = ward.straps.values()
        told = await asker.ask("reconnect", {"peripheral": "strap-1"})
        assert told["status"] == "ok", told
        assert told["data"]["peripheral"] == "strap-1"
        assert told["data"]["duration_s"] > 0
        assert (len(strap.link_ends), other.link_ends) == (1, [])
        await ward.received_more(strap, 3)
        gap = await ward.subscriber.until(
            lambda all_: next((m for m in all_ if m.topic == "healthd/gateway/event/gap"), None)
        )
        assert (gap.json()["peripheral"], gap.json()["reason"]) == (
            "strap-1",
            "reconnect_requested",
        )
        ups_and_downs = [
            (one.json()["change"], one.json().get("reason"))
            for one in ward.subscriber.at("healthd/gateway/event/link")
            if one.json()["peripheral"] == "strap-1"
        ]
        assert ups_and_downs == [("up", None), ("down", "reconnect_requested"), ("up", None)]
        await ward.stop()
        ward.check()


async def test_reconnecting_in_vain_says_why_and_healthd_goes_on(
    ward_with: MakeWard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ward_with("reconnect") as ward:
        asker = await linked(ward)
        (strap,) = ward.straps.values()
        with monkeypatch.context() as impatient:
            impatient.setattr("healthd.gateway.handlers._RECONNECT_S", 0.001)
            told = await asker.ask("reconnect", {"peripheral": "strap-1"})
        assert "there is no new one after" in told["error"]
        assert "healthd goes on trying" in told["error"]
        await ward.recovers(strap)
        assert len(strap.link_ends) == 1
        since = len(ward.subscriber.messages)
        await strap.peripheral.vanish()
        await ward.told(strap, since, b"offline", state="searching")
        told = await asker.ask("reconnect", {"peripheral": "strap-1"})
        assert "it is searching, expected streaming" in told["error"]


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
            asker = Asker(subscriber)
            await broker.logged("1 healthd/gateway/request/+")  # it listens
            told = await asker.ask("fetch", {"peripheral": "cuff"})
            assert told["status"] == "ok", told
            assert told["data"]["outcome"] == "new_data"
            events = [one.json() for one in subscriber.at("healthd/gateway/event/fetch")]
            runs = [one["fetch_run"] for one in events]
            assert told["data"]["fetch_run"] in runs
            told = await asker.ask("reconnect", {"peripheral": "cuff"})
            assert "expected a continuous one" in told["error"]
        conform(subscriber.messages)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_where_it_is_answered_and_what_comes_back(ward_with: MakeWard, version: str) -> None:
    async with ward_with("scan", version=version) as ward:
        asker = await linked(ward)
        asked = asker.send("scan", {"seconds": 0.01, "transaction": 7})
        where = ANSWERS if version == "5" else "healthd/gateway/response/scan"
        answer = await ward.subscriber.until(lambda _: ward.subscriber.at(where))
        assert answer[0].json()["transaction"] == 7
        assert answer[0].correlation == (asked if version == "5" else None)
        assert (answer[0].qos, answer[0].retained) == (1, False)
        # Without a response topic it is the same for both.
        ward.subscriber.send("healthd/gateway/request/dance", b'{"transaction": 1.5}')
        answer = await ward.subscriber.until(
            lambda _: ward.subscriber.at("healthd/gateway/response/dance")
        )
        told = answer[0].json()
        assert (told["status"], told["transaction"]) == ("error", 1.5)
        assert 'found the verb "dance", expected one of scan, fetch, reconnect, ' in told["error"]
        await ward.stop()
        if version == "5":
            ward.check()


WRONG: list[tuple[str, object, dict[str, Any], str]] = [
    ("scan", b"seconds=5", {}, "found no JSON"),
    ("scan", b"\xff\xfe", {}, "found no JSON"),
    ("scan", [5], {}, "found [5], expected an object"),
    ("scan", {"second": 5}, {}, 'unknown key "second", expected one of transaction, seconds'),
    ("scan", {f"x{n}": n for n in range(300)}, {}, "; and 292 more"),
    ("scan", {"seconds": "5"}, {}, 'seconds: found "5", expected a number'),
    ("scan", {"seconds": 61}, {}, "seconds: found 61, expected less than or equal to 60"),
    ("scan", {"transaction": {}}, {}, "transaction: found {}, expected text or a whole number"),
    ("scan", {"transaction": "x" * LONGEST_REQUEST}, {}, "expected at most as many"),
    ("scan", b"x" * 1_000_000, {}, "found more than 4096 bytes"),
    ("scan", {}, {"retain": True}, "found a retained request"),
    ("reconnect", {}, {}, "peripheral: found nothing, expected a value"),
    ("reconnect", b"", {}, "peripheral: found nothing"),
    (
        "reconnect",
        {"peripheral": "scale"},
        {},
        "expected one that the running healthd has: strap-1",
    ),
    ("fetch", {"peripheral": "strap-1"}, {}, "one that [mqtt] requests in the settings"),
    ("dance", {}, {}, 'found the verb "dance", expected one of scan, fetch, reconnect'),
    ("", {}, {}, 'found the verb ""'),
    ("a b", {}, {"response_topic": None}, 'found the verb "a b"'),
    ("scan", {}, {"response_topic": "$SYS/broker"}, "not beginning with $"),
    ("scan", {}, {"response_topic": "healthd/gateway/device/strap-1/heart_rate"}, "one outside"),
    ("scan", {}, {"response_topic": "healthd/gateway/request/scan"}, "one outside healthd/"),
    ("scan", {}, {"response_topic": "healthd/other/status"}, "one outside healthd/"),
    ("scan", {}, {"response_topic": "healthd"}, "below healthd/gateway/response/"),
]


async def test_what_is_wrong_is_said_and_only_that(ward_with: MakeWard) -> None:
    async with ward_with("scan", "reconnect") as ward:
        asker = await linked(ward)
        for verb, payload, how, said in WRONG:
            told = await asker.ask(verb, payload, **how)
            assert (told["status"], "data" in told) == ("error", False)
            assert said in told["error"], (verb, payload, how)
        assert set((await asker.answers(len(WRONG))).values()) == {1}
        # Lest it is there for whoever comes later.
        ward.subscriber.send("healthd/gateway/request/scan", retain=True)
        assert (await asker.ask("scan", {"seconds": 0.01}))["status"] == "ok"
        await ward.stop()
        ward.check()
    where = {one.topic for one in ward.subscriber.messages if "/response/" in one.topic}
    own = {f"healthd/gateway/response/{verb}" for verb in ("scan", "unknown")}
    assert where == {ANSWERS} | own


async def test_a_retained_request_that_waits_at_the_broker_is_not_carried_out(
    ward_with: MakeWard, broker: Mosquitto
) -> None:
    async with Subscriber(broker.port, "nothing", name="before") as before:
        before.send("healthd/gateway/request/reconnect", b'{"peripheral":"strap-1"}', retain=True)
        await broker.logged("request/reconnect")
        async with ward_with("reconnect") as ward:
            asker = await linked(ward)
            (told,) = await ward.subscriber.until(
                lambda _: ward.subscriber.at("healthd/gateway/response/reconnect")
            )
            assert "found a retained request" in told.json()["error"]
            (strap,) = ward.straps.values()
            await ward.received_more(strap, 3)
            assert strap.link_ends == []
            assert (await asker.ask("reconnect", {"peripheral": "strap-1"}))["status"] == "ok"


async def test_with_requests_off_nothing_is_subscribed_to(
    ward_with: MakeWard, broker: Mosquitto
) -> None:
    async with ward_with() as ward:
        asker = await linked(ward)
        asker.send("scan", {"seconds": 0.01})
        (strap,) = ward.straps.values()
        await ward.received_more(strap, 5)
        await ward.caught_up()
        assert not [one for one in ward.subscriber.messages if "/response/" in one.topic]
    subscriptions = [line for line in broker.log if "Received SUBSCRIBE" in line]
    assert [line.rpartition(" ")[2] for line in subscriptions] == ["independent-subscriber"]


def malformed(number: int) -> list[bytes]:
    """So many different payloads, none of which is a request of a peripheral that there is."""
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
async def test_a_thousand_malformed_requests_get_one_error_each_and_cost_no_sample(
    ward_with: MakeWard, measured: Callable[[str], None]
) -> None:
    payloads = await asyncio.to_thread(malformed, 1000)
    async with ward_with(*VERBS, straps=3) as ward:
        asker = await linked(ward)
        before = sum(len(strap.received) for strap in ward.straps.values())
        sent = {asker.send(VERBS[1 + n % 2], one): one for n, one in enumerate(payloads)}
        answers = await asker.answers(len(sent))
        assert answers == dict.fromkeys(sent, 1)
        responses = [one.json() for one in ward.subscriber.at(ANSWERS)]
        assert {one["status"] for one in responses} == {"error"}
        during = sum(len(strap.received) for strap in ward.straps.values()) - before
        for strap in ward.straps.values():
            await ward.received_more(strap, 5)
        assert (await asker.ask("scan", {"seconds": 0.01}))["status"] == "ok"
        assert [strap.link_ends for strap in ward.straps.values()] == [[], [], []]
        await ward.stop()
        ward.check()
        measured(f"{len(sent)} malformed requests; {during} samples meanwhile; {ward.summary()}")


@pytest.mark.untraced
async def test_a_flood_of_requests_is_answered_one_by_one_and_costs_no_sample(
    ward_with: MakeWard, measured: Callable[[str], None]
) -> None:
    async with ward_with("scan", straps=3) as ward:
        asker = await linked(ward)
        loop = asyncio.get_running_loop()
        began, before = loop.time(), sum(len(one.received) for one in ward.straps.values())
        sent = [asker.send("scan", {"seconds": 0.2}) for _ in range(3000)]
        assert await asker.answers(len(sent)) == dict.fromkeys(sent, 1)
        took_s = loop.time() - began
        during = sum(len(one.received) for one in ward.straps.values()) - before
        responses = [one.json() for one in ward.subscriber.at(ANSWERS)]
        said = Counter(one.get("error", one["status"]) for one in responses)
        assert said.keys() == {"ok", "too many requests at a time: 16 are under way"}
        assert said["ok"] >= 16
        # None was stored: live they went all the time, and the disk was left alone.
        await ward.caught_up()
        assert [ward.delivered(strap).history for strap in ward.straps.values()] == [[], [], []]
        await ward.stop()
        ward.check()
        measured(f"{len(sent)} requests in {took_s:.1f} s, {said['ok']} ok; {during} samples")


async def test_a_connection_that_is_cut_costs_the_response_and_nothing_else(
    ward_with: MakeWard, broker: Mosquitto
) -> None:
    async with Gate(broker.port) as gate:
        await gate.open()
        async with ward_with("scan", "reconnect", daemon_port=gate.port) as ward:
            asker = await linked(ward)
            (strap,) = ward.straps.values()
            lost = asker.send("scan", {"seconds": 0.5})
            survives = asker.send("scan", {"seconds": 4.0})
            await broker.logged("Received PUBLISH from independent-subscriber")
            assert (await asker.ask("scan", {"seconds": 0.01}))["status"] == "ok"
            since = len(ward.subscriber.messages)
            with capture_logs() as lines:
                await gate.cut()
                await ward.subscriber.until_payload(
                    "healthd/gateway/status", b"offline", since=since
                )
                async with asyncio.timeout(_DROPPED_S):
                    # The first is over, and nobody can be told. A log line tells of it, no event.
                    while not any(one["event"] == "response dropped" for one in lines):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            await gate.open()
            await ward.subscriber.until_payload("healthd/gateway/status", b"online", since=since)
            assert (await asker.answered(survives))["status"] == "ok"
            answers = await asker.answers(2)
            assert answers[lost] == 0
            assert (await asker.ask("reconnect", {"peripheral": "strap-1"}))["status"] == "ok"
            await ward.received_more(strap, 3)
            await ward.stop()
            ward.check()


async def test_who_waits_when_it_stops_is_told(ward_with: MakeWard) -> None:
    async with ward_with("scan") as ward:
        asker = await linked(ward)
        waiting = asker.send("scan", {"seconds": 60})
        # Answered behind it: so the first one is under way by now.
        await asker.ask("scan", {"seconds": 0.01})
        await ward.stop()
        told = await asker.answered(waiting)
        assert told == {"status": "error", "error": "healthd is stopping"}
        assert ward.subscriber.messages[-1].topic == "healthd/gateway/status"
        ward.check()
