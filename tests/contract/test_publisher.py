"""Publisher and outbox with real brokers: every sample arrives, whatever happens."""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from healthd.central.airtime import Airtime
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.devices import Devices
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ConnectionLost
from healthd.mqtt.health import Health
from healthd.mqtt.outgoing import Outgoing
from healthd.mqtt.unacked import Answer
from healthd.samples import Sample
from tests.support.mosquitto import (
    HOST,
    StartMosquitto,
    free_port,
    needs_mosquitto,
    password_file,
)
from tests.support.publishing import (
    BOUND_S,
    RETRY_S,
    TOPICS,
    Gateway,
    Weight,
    connected,
    end_task,
    endpoint_of,
)
from tests.support.subscriber import Received, Subscriber, publish

LIVE = TOPICS.sample("strap", "beat")
HISTORY = TOPICS.history("strap", "beat")
OTHER = TOPICS.sample("strap", "other")
OUTBOX_EVENTS = TOPICS.sample("", "event/outbox")

# The most unacknowledged samples at a time, as in delivery.py and history.py.
LIVE_WINDOW, HISTORY_WINDOW = 20, 10

# Samples get stamps as if they had waited too long for the live topic.
OVERDUE_S = 2.1

pytestmark = needs_mosquitto


def health_of(gateway: Gateway, devices: Devices) -> Health:
    retain = partial(gateway.publisher.retain, TOPICS.health)
    return Health(gateway.outbox, devices, retain, Airtime().counters)


def ids(received: Iterable[Received]) -> list[str]:
    return [one.json()["id"] for one in received]


def first_ids(received: Iterable[Received]) -> list[str]:
    """Return each id once, in order of first arrival."""
    return list(dict.fromkeys(ids(received)))


def made_ids(samples: Iterable[Sample]) -> list[str]:
    return [sample.id for sample in samples]


async def all_arrive(subscriber: Subscriber, samples: Iterable[Sample], *topics: str) -> None:
    """Wait until each of these samples has arrived at one of the topics."""
    missing = set(made_ids(samples))
    checked = 0

    def complete(all_: list[Received]) -> bool:
        nonlocal checked
        missing.difference_update(ids(one for one in all_[checked:] if one.topic in topics))
        checked = len(all_)
        return not missing

    await subscriber.until(complete, BOUND_S)


def changes(subscriber: Subscriber) -> list[tuple[str, str]]:
    return [(m.json()["change"], m.json()["detail"]) for m in subscriber.at(OUTBOX_EVENTS)]


# Live


async def test_live_samples_arrive_unchanged_and_in_order(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    broker = await mosquitto()
    async with (
        Subscriber(broker.port) as subscriber,
        connected(tmp_path / "s", broker) as gateway,
    ):
        for _ in range(100):
            gateway.sample(4)
            gateway.sample(1, stream="other")
            await asyncio.sleep(0)
        await all_arrive(subscriber, gateway.put, LIVE, OTHER)
        await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
        assert await gateway.stored() == {}
    for topic, stream in ((LIVE, "beat"), (OTHER, "other")):
        arrived = subscriber.at(topic)
        made = [sample for sample in gateway.put if sample.stream == stream]
        assert [one.payload for one in arrived] == [sample.payload() for sample in made]
        assert {(one.qos, one.retained, one.content_type) for one in arrived} == {
            (1, False, "application/json")
        }
        assert {one.user["schema"] for one in arrived} == {"beat/1"}


async def test_no_more_than_a_window_is_unacknowledged_at_once(
    mosquitto: StartMosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_, most = {"live": 0, "history": 0}, {"live": 0, "history": 0}
    deliver = Outgoing.deliver

    class Counted:
        def __init__(self, kind: str, answer: Answer) -> None:
            self.done, self.cancel = answer.done, answer.cancel
            self._kind, self._answer = kind, answer

        def set_result(self, result: None, /) -> None:
            open_[self._kind] -= 1
            self._answer.set_result(result)

        def set_exception(self, error: Exception, /) -> None:
            raise AssertionError("the broker refuses nothing") from error

    def counted(
        outgoing: Outgoing,
        topic: str,
        payload: bytes,
        retain: bool,
        properties: Any,
        priority: int,
        answer: Answer,
        **more: Any,
    ) -> None:
        kind = "history" if topic.endswith("/history") else "live"
        open_[kind] += 1
        most[kind] = max(most[kind], open_[kind])
        answer = Counted(kind, answer)
        deliver(outgoing, topic, payload, retain, properties, priority, answer, **more)

    monkeypatch.setattr(Outgoing, "deliver", counted)
    broker = await mosquitto()
    async with Subscriber(broker.port) as subscriber, Gateway(tmp_path / "s", broker) as gateway:
        gateway.sample(500, age_s=OVERDUE_S)
        await gateway.on_disk(500)
        gateway.sample(500)
        gateway.connect()
        await all_arrive(subscriber, gateway.put, LIVE, HISTORY)
    assert most == {"live": LIVE_WINDOW, "history": HISTORY_WINDOW}


# The broker goes and comes back


async def test_after_an_outage_live_samples_flow_alongside_the_backlog(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    broker = await mosquitto()
    async with (
        Subscriber(broker.port) as subscriber,
        connected(tmp_path / "s", broker) as gateway,
    ):
        before = gateway.sample(50)
        await all_arrive(subscriber, before, LIVE)
        await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
        await broker.kill()
        assert (await gateway.failed("broker_lost")).reason == "broker_lost"
        old = gateway.sample(6000, age_s=OVERDUE_S)
        await gateway.on_disk(6000)
        # Connect only once the subscriber is back: samples without a subscriber are lost.
        await gateway.disconnect()
        await broker.start()
        await subscriber.subscribed()
        seen = len(subscriber.messages)
        gateway.connect()
        await gateway.connected(2)
        young = gateway.sample(3)
        await all_arrive(subscriber, gateway.put, LIVE, HISTORY)
        await gateway.on_disk(0)
    after = subscriber.messages[seen:]
    assert first_ids(one for one in after if one.topic == HISTORY) == made_ids(old)
    assert first_ids(one for one in after if one.topic == LIVE) == made_ids(young)
    order = ids(one for one in after if one.topic in (LIVE, HISTORY))
    # Before the end of the backlog; how much earlier depends on the machine's load.
    assert order.index(young[-1].id) < len(old) / 2


async def test_a_run_delivers_the_samples_that_the_previous_run_left(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    broker = await mosquitto()
    async with Gateway(tmp_path / "s", broker) as first:
        left = first.sample(300)
    async with (
        Subscriber(broker.port) as subscriber,
        connected(tmp_path / "s", broker) as second,
    ):
        young = second.sample(5)
        await all_arrive(subscriber, [*left, *young], LIVE, HISTORY)
        await second.on_disk(0)
    assert ids(subscriber.at(HISTORY)) == made_ids(left)
    assert ids(subscriber.at(LIVE)) == made_ids(young)
    assert [one.payload for one in subscriber.at(HISTORY)] == [one.payload() for one in left]


async def test_all_retained_messages_are_published_again_on_every_connect(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    broker = await mosquitto()  # it loses its retained messages when it is killed
    info = TOPICS.device_info("strap")
    async with Gateway(tmp_path / "s", broker) as gateway:
        devices = Devices(TOPICS, gateway.publisher.retain)
        devices.on_state("strap", "streaming", online=True)
        gateway.publisher.retain(TOPICS.status, b"online")
        health = health_of(gateway, devices)
        counting = asyncio.create_task(health.run(lambda: None))
        gateway.connect()
        for round_ in range(3):
            if round_:
                devices.on_state("strap", "waiting", f"round {round_}")
                await broker.kill()
                await broker.start()
            await gateway.connected(round_ + 1)
            topics = {TOPICS.status, TOPICS.health, TOPICS.device_status("strap"), info}
            if round_:
                topics.add(TOPICS.sample("scale", "weight"))
            async with Subscriber(broker.port, name=f"late-{round_}") as late:
                # It may have subscribed before some of them were published.
                kept = await late.until(
                    lambda all_, topics=topics: (
                        {one.topic: one for one in all_}
                        if topics <= {one.topic for one in all_}
                        else None
                    )
                )
            assert kept[TOPICS.status].payload == b"online"
            assert kept[TOPICS.health].json()["outbox"]["state"] == "ok"
            expected = b"offline" if round_ else b"online"
            assert kept[TOPICS.device_status("strap")].payload == expected
            if round_:
                assert kept[info].json()["reason"] == f"round {round_}"
                assert kept[TOPICS.sample("scale", "weight")].json()["grams"] == 70_000
            else:
                # An episodic result is retained as well, once it is published.
                gateway.outbox.put(gateway.run.sample("scale", "weight", Weight(grams=70_000)))
                await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
        await end_task(counting)
    async with Subscriber(broker.port, name="much-later") as late:
        (weight,) = await late.until(lambda _: late.at(TOPICS.sample("scale", "weight")))
    assert weight.retained


async def test_a_removed_peripherals_topics_are_cleared_and_its_samples_arrive(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    broker, weight = await mosquitto(), TOPICS.sample("scale", "weight")
    status, info = TOPICS.device_status("scale"), TOPICS.device_info("scale")
    async with (
        Subscriber(broker.port) as subscriber,
        Gateway(tmp_path / "s", broker) as gateway,
    ):
        devices = Devices(TOPICS, gateway.publisher.retain)

        def weigh(grams: int) -> None:
            gateway.outbox.put(gateway.run.sample("scale", "weight", Weight(grams=grams)))

        gateway.publisher.retain(TOPICS.status, b"online")
        devices.on_state("scale", "streaming", online=True)
        gateway.connect()
        weigh(70_000)
        await subscriber.until(lambda _: subscriber.at(weight))
        # With a connection, subscribers first see that it is offline.
        devices.on_state("scale", "disabled", "stopped")
        gateway.publisher.clear_retained("scale")
        await subscriber.until_payload(weight, b"")
        payloads = [message.payload for message in subscriber.at(status)]
        assert payloads == [b"online", b"offline", b""]
        # Without a connection, the topics are cleared on the next connect.
        gateway.publisher.track_retained("scale")
        devices.on_state("scale", "waiting", "scheduled")
        await subscriber.until(lambda _: subscriber.at(info)[-1].payload)
        await gateway.disconnect()
        weigh(71_000)
        gateway.publisher.clear_retained("scale")
        since = len(subscriber.messages)
        gateway.connect()
        for topic in (status, info):
            await subscriber.until_payload(topic, b"", since=since)
        await subscriber.until(lambda _: subscriber.at(weight)[-1].payload)
        assert subscriber.at(weight)[-1].json()["grams"] == 71_000
        since = len(subscriber.messages)
        await gateway.disconnect()
        gateway.connect()
        await subscriber.until_payload(TOPICS.status, b"online", since=since)
        async with Subscriber(broker.port, name="late") as late:
            await late.until(lambda _: late.at(TOPICS.status))
            await publish(broker.port, "test/last", "")
            await late.until(lambda _: late.at("test/last"))
    assert not [one for one in late.messages if "/device/scale/" in one.topic]


_STATUS, _WEIGHT = TOPICS.status, TOPICS.sample("scale", "weight")
_PROPERTIES: dict[str, tuple[str | None, str | None, bool]] = {
    _STATUS: ("text/plain", None, False),
    TOPICS.device_status("strap"): ("text/plain", None, False),
    TOPICS.health: ("application/json", "health/1", True),
    TOPICS.device_info("strap"): ("application/json", "device_info/1", False),
    _WEIGHT: ("application/json", "weight/1", False),
}


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_mqtt_5_properties_of_retained_messages_are_sent_on_every_connect(
    mosquitto: StartMosquitto, tmp_path: Path, version: str
) -> None:
    broker = await mosquitto()  # it loses its retained messages when it is killed
    topics = _PROPERTIES.keys()
    endpoint = endpoint_of(broker, version=version)
    async with Gateway(tmp_path / "s", endpoint) as gateway:
        devices = Devices(TOPICS, gateway.publisher.retain)
        devices.on_state("strap", "streaming", online=True)
        gateway.publisher.retain(_STATUS, b"online")
        health = health_of(gateway, devices)
        counting = asyncio.create_task(health.run(lambda: None))
        gateway.connect()
        await gateway.connected()
        gateway.outbox.put(gateway.run.sample("scale", "weight", Weight(grams=70_000)))
        await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
        for round_ in range(2):
            if round_:
                await broker.kill()
                await broker.start()
                await gateway.connected(round_ + 1)
            async with Subscriber(broker.port, name=f"late-{round_}") as late:
                await late.until(lambda all_: topics <= {one.topic for one in all_})
                seen = {one.topic: one for one in late.messages}
            for topic, (content_type, schema, expires) in _PROPERTIES.items():
                message = seen[topic]
                has_expiry = message.expiry_s is not None
                found = message.content_type, message.user.get("schema"), has_expiry
                expected = (
                    (content_type, schema, expires) if version == "5" else (None, None, False)
                )
                assert (topic, found) == (topic, expected)
            if version == "5":
                # Two renewals may be missed.
                assert 120 < (seen[TOPICS.health].expiry_s or 0) <= 180
        async with Subscriber(broker.port, name="at-the-end") as last:
            await gateway.disconnect()
            await last.until_payload(_STATUS, b"offline")
            will = last.at(_STATUS)[-1]
        assert will.content_type == ("text/plain" if version == "5" else None)
        await end_task(counting)


async def test_retained_topics_are_published_only_when_they_change(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    broker = await mosquitto()
    async with (
        Subscriber(broker.port) as subscriber,
        connected(tmp_path / "s", broker) as gateway,
    ):
        for payload in (b"a", b"a", b"b", b"b", b"c"):
            gateway.publisher.retain(TOPICS.info, payload)
            await subscriber.until_payload(TOPICS.info, payload)
        marker = gateway.sample()
        await all_arrive(subscriber, marker, LIVE)
    assert [one.payload for one in subscriber.at(TOPICS.info)] == [b"a", b"b", b"c"]


async def test_a_frozen_broker_is_disconnected_and_nothing_is_lost(
    mosquitto: StartMosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.publisher._ACK_TIMEOUT_S", 1.5)
    broker = await mosquitto()
    async with (
        Subscriber(broker.port) as subscriber,
        connected(tmp_path / "s", broker) as gateway,
    ):
        gateway.publisher.retain(TOPICS.status, b"online")
        await all_arrive(subscriber, gateway.sample(100), LIVE)
        known = len(broker.log)
        broker.freeze()
        gateway.sample(100)
        fault = await gateway.failed("broker_stalled")
        assert "acknowledge" in str(fault)
        gateway.sample(100)
        assert gateway.connects == 1
        broker.thaw()
        # With a new client.
        await gateway.connected(2)
        gateway.sample(100)
        await all_arrive(subscriber, gateway.put, LIVE, HISTORY)
        await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
        await gateway.on_disk(0)
        await broker.logged("as gateway-under-test", since=known)
        # The old connection's will does not replace it.
        async with Subscriber(broker.port, TOPICS.status, name="late") as late:
            (status,) = await late.until(lambda all_: all_)
        assert (status.payload, status.retained) == (b"online", True)
    order = first_ids(subscriber.at(LIVE))
    assert order == sorted(order, key=lambda id_: int(id_.rpartition("-")[2]))


async def test_the_next_broker_of_the_list_is_used_while_another_is_down(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    first, second = await mosquitto(), await mosquitto()
    closed = Endpoint(host=HOST, port=free_port(), version="5", client_id="gateway-under-test")
    await first.kill()
    with capture_logs() as log:
        async with (
            Subscriber(second.port) as subscriber,
            connected(tmp_path / "s", closed, first, second) as gateway,
        ):
            assert gateway.faults == []
            await all_arrive(subscriber, gateway.sample(50), LIVE)
            await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
            await first.start()
            async with Subscriber(first.port) as other:
                await second.kill()
                await gateway.connected(2)
                young = gateway.sample(50)
                await all_arrive(other, young, LIVE, HISTORY)
    used = [line["broker"] for line in log if line["event"] == "connected"]
    assert used == [second.address, first.address]


async def test_a_broker_that_accepts_and_does_not_answer_is_skipped(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    hung, second = await mosquitto(), await mosquitto()
    hung.freeze()
    async with (
        Subscriber(second.port) as subscriber,
        connected(tmp_path / "s", hung, second) as gateway,
    ):
        await all_arrive(subscriber, gateway.sample(5), LIVE, HISTORY)
        assert gateway.faults == []


# Refused


ALL_RIGHTS = "topic readwrite #\n"


@pytest.fixture
def short_parking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try refused topics again after fractions of a second."""
    monkeypatch.setattr("healthd.mqtt.parking.FIRST_S", 0.2)
    monkeypatch.setattr("healthd.mqtt.history.FIRST_S", 0.2)


@pytest.mark.usefixtures("short_parking")
@pytest.mark.parametrize("denied", [LIVE, HISTORY, f"{LIVE}/#"])
async def test_a_denied_topic_blocks_no_other_and_loses_nothing(
    mosquitto: StartMosquitto, tmp_path: Path, denied: str
) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"{ALL_RIGHTS}topic deny {denied}\n")
    broker = await mosquitto(f"allow_anonymous true\nacl_file {acl}")
    topics = [topic for topic in (LIVE, HISTORY) if denied in (topic, f"{LIVE}/#")]
    async with (
        Subscriber(broker.port) as subscriber,
        Gateway(tmp_path / "s", broker) as gateway,
    ):
        old = gateway.sample(30, age_s=OVERDUE_S)
        await gateway.on_disk(30)
        gateway.connect()
        young = gateway.sample(30)
        other = gateway.sample(300, stream="other")
        await all_arrive(subscriber, other, OTHER)

        def parked(_: list[Received]) -> bool:
            details = [detail for change, detail in changes(subscriber) if change == "parked"]
            return all(any(d.startswith(f"{topic}: ") for d in details) for topic in topics)

        await subscriber.until(parked)
        assert "authori" in changes(subscriber)[0][1].lower()
        assert not any(subscriber.at(topic) for topic in topics)
        assert gateway.faults == []
        acl.write_text(ALL_RIGHTS)
        await broker.reload()
        # A new live sample shows that the topic works again.
        async with asyncio.timeout(BOUND_S):
            while {"unparked"} & {c for c, _ in changes(subscriber)} == set():
                gateway.sample()
                await asyncio.sleep(0.05)
        await all_arrive(subscriber, gateway.put, LIVE, HISTORY, OTHER)
        await gateway.on_disk(0)
        assert gateway.faults == []
    found = changes(subscriber)
    for topic in topics:
        assert [c for c, detail in found if detail.split(": ")[0] == topic] == [
            "parked",
            "unparked",
        ]
    assert set(made_ids([*old, *young])) <= {
        *ids(subscriber.at(HISTORY)),
        *ids(subscriber.at(LIVE)),
    }
    assert set(made_ids(old)) <= set(ids(subscriber.at(HISTORY)))


async def test_a_second_client_with_the_same_id_is_detected(
    mosquitto: StartMosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.brokers._TWIN_FOR_S", 0.0)
    broker = await mosquitto()

    async def twin() -> None:
        while True:
            with suppress(ConnectionLost):
                async with AckedClient(endpoint_of(broker)) as client:
                    await client.lost()
            await asyncio.sleep(RETRY_S)

    async with connected(tmp_path / "s", broker) as gateway:
        other = asyncio.create_task(twin())
        fault = await gateway.failed("taken_over")
        await end_task(other)
    assert "gateway-under-test" in str(fault)
    # The more slowly the two disconnect each other, the better, but a broker that is well is not
    # left alone for longer than ten seconds.
    assert fault.backoff.first_s >= 4
    assert fault.backoff.ceiling_s <= 10
    reasons = [one.reason for one in gateway.faults]
    if any("mosquitto version 2.0" in line for line in broker.log):
        # It gives no reason for closing a connection; the third time is unlikely to be chance.
        assert reasons[:3] == ["broker_lost", "broker_lost", "taken_over"]
        assert "perhaps" in str(fault)
    else:
        assert reasons[0] == "taken_over"


async def test_refused_credentials_are_tried_rarely_and_samples_are_kept(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    users = password_file(tmp_path, {"gateway": "wrong"})
    broker = await mosquitto(f"allow_anonymous false\npassword_file {users}")
    mine = endpoint_of(broker, username="gateway", password="right")
    async with Gateway(tmp_path / "s", mine) as gateway:
        gateway.connect()
        fault = await gateway.failed("credentials_refused")
        assert fault.backoff.ceiling_s == 900.0
        assert fault.backoff.first_s >= 10
        gateway.sample(20, age_s=OVERDUE_S)
        gateway.sample(20)
        await gateway.on_disk(40)
        password_file(tmp_path, {"gateway": "right"})
        await broker.reload()
        await gateway.connected()
        await gateway.on_disk(0)
        await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
    assert {one.reason for one in gateway.faults} == {"credentials_refused"}


# Stopping


async def test_a_clean_stop_delivers_everything_and_discards_the_will(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    broker = await mosquitto()
    async with (
        Subscriber(broker.port) as subscriber,
        connected(tmp_path / "s", broker) as gateway,
    ):
        gateway.publisher.retain(TOPICS.status, b"online")
        await subscriber.until_payload(TOPICS.status, b"online")
        gateway.sample(500)
        async with asyncio.timeout(BOUND_S):
            await gateway.publisher.drain_and_disconnect(TOPICS.status, b"goodbye")
        await gateway.finished()
        await broker.logged("Client gateway-under-test disconnected.")
        assert await gateway.stored() == {}
        await subscriber.until_payload(TOPICS.status, b"goodbye")
    order = [one for one in subscriber.messages if one.topic in (LIVE, TOPICS.status)]
    assert ids(order[1:-1]) == made_ids(gateway.put)
    assert [one.payload for one in subscriber.at(TOPICS.status)] == [b"online", b"goodbye"]
    assert gateway.faults == []
    async with Subscriber(broker.port, TOPICS.status, name="late") as late:
        assert await late.until_payload(TOPICS.status, b"goodbye")


async def test_a_broken_connection_publishes_the_will(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    """Check that the previous test would see a will."""
    broker = await mosquitto()
    async with Subscriber(broker.port) as subscriber:
        async with connected(tmp_path / "s", broker) as gateway:
            gateway.publisher.retain(TOPICS.status, b"online")
            await subscriber.until_payload(TOPICS.status, b"online")
        await subscriber.until_payload(TOPICS.status, b"offline")


async def test_a_clean_stop_without_a_connection_returns_at_once(tmp_path: Path) -> None:
    closed = Endpoint(host=HOST, port=free_port(), version="5", client_id="gateway-under-test")
    async with Gateway(tmp_path / "s", closed) as gateway:
        gateway.connect()
        await gateway.failed("broker_unreachable")
        gateway.sample(10)
        # Far less than it may take with a connection.
        await asyncio.wait_for(
            gateway.publisher.drain_and_disconnect(TOPICS.status, b"goodbye"), 2.0
        )


async def test_a_clean_stop_with_a_frozen_broker_ends_and_keeps_the_samples(
    mosquitto: StartMosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthd.mqtt.publisher.DRAIN_S", 0.3)
    broker = await mosquitto()
    async with connected(tmp_path / "s", broker) as gateway:
        broker.freeze()
        gateway.sample(50)
        async with asyncio.timeout(BOUND_S):
            await gateway.publisher.drain_and_disconnect(TOPICS.status, b"goodbye")
    async with Gateway(tmp_path / "s", broker) as second:
        assert [n for (_, stream), n in (await second.stored()).items() if stream == "beat"] == [50]


async def test_a_cancellation_at_the_moment_of_connecting_is_not_lost(
    mosquitto: StartMosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio.wait_for of Python 3.11 loses a cancellation that arrives with its result."""
    broker = await mosquitto()
    on_connect = AckedClient._on_connect  # pyright: ignore[reportPrivateUsage]

    def then_cancel(client: AckedClient, *rest: Any) -> None:
        on_connect(client, *rest)
        running.cancel()

    monkeypatch.setattr(AckedClient, "_on_connect", then_cancel)
    async with Gateway(tmp_path / "s", broker) as gateway:
        running = asyncio.create_task(gateway.publisher.run(lambda: None))
        await asyncio.wait([running], timeout=3.0)
        ended = running.done()
        running.cancel()
        await asyncio.wait([running])
    assert ended, "it was cancelled, and kept running"
    await broker.logged("gateway-under-test")


@pytest.mark.parametrize("write", ["around", "through"])
async def test_nothing_is_lost_when_the_connection_breaks_often(
    mosquitto: StartMosquitto, tmp_path: Path, write: str
) -> None:
    broker = await mosquitto()
    jitter = random.Random(7)
    async with (
        Subscriber(broker.port) as subscriber,
        Gateway(tmp_path / "s", broker, write=write) as gateway,
    ):
        for round_ in range(15):
            gateway.connect()
            await gateway.connected(round_ + 1)
            for _ in range(10):
                gateway.sample(jitter.randrange(30))
                await asyncio.sleep(jitter.random() * 0.01)
            await gateway.disconnect()
        gateway.connect()
        await gateway.connected(16)
        await all_arrive(subscriber, gateway.put, LIVE, HISTORY)
        await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
        await gateway.on_disk(0)
    for topic in (LIVE, HISTORY):
        order = [int(one.rpartition("-")[2]) for one in first_ids(subscriber.at(topic))]
        assert order == sorted(order)
