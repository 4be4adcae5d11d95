"""A broker that refuses messages: which codes park a topic, and what happens to all others."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.brokers.packets import Publish
from tests.brokers.responder import Behaviour, Responder
from tests.support.publishing import BOUND_S, TOPICS, Gateway, connected, endpoint_of

LIVE = TOPICS.sample("strap", "beat")
HISTORY = TOPICS.history("strap", "beat")
OUTBOX_EVENTS = TOPICS.sample("", "event/outbox")

# Older than a live sample may be.
OVERDUE_S = 2.1

# Unspecified, implementation specific, packet identifier in use, quota exceeded, server busy: they
# do not speak of this topic. RabbitMQ 4 answers 0x83 if one subscriber's queue rejects the message.
FOR_NOW = [0x80, 0x83, 0x91, 0x97, 0x89]

# Not authorized, topic name invalid, payload format invalid, retain not supported.
ABOUT_THE_TOPIC = [0x87, 0x90, 0x99, 0x9A]


def seqs(published: Iterable[Publish], topic: str) -> list[int]:
    """Return the numbers of the samples at the topic, in the order of arrival."""
    return [json.loads(one.payload)["seq"] for one in published if one.topic == topic]


@pytest.mark.parametrize("code", FOR_NOW)
async def test_a_code_that_does_not_speak_of_the_topic_does_not_keep_it_quiet(
    tmp_path: Path, code: int
) -> None:
    behaviour = Behaviour(puback={"/beat": code})
    async with Responder(behaviour) as broker, connected(tmp_path, endpoint_of(broker)) as gateway:
        for count in range(1, 9):
            gateway.sample()
            # The next one is sent live although the last one was refused.
            await broker.until(lambda count=count: len(seqs(broker.published, LIVE)) == count)
        await broker.until(lambda: len(broker.connections[0].refused) >= 8)
        behaviour.puback = {}
        await broker.until(lambda: len(seqs(broker.accepted, HISTORY)) == 8)
        await gateway.on_disk(0)
        assert gateway.faults == []
    assert {(LIVE, code), (HISTORY, code)} >= set(broker.connections[0].refused)
    assert (LIVE, code) in broker.connections[0].refused
    assert seqs(broker.accepted, HISTORY) == list(range(1, 9))
    assert not [one for one in broker.published if one.topic == OUTBOX_EVENTS]


@pytest.mark.parametrize("code", ABOUT_THE_TOPIC)
async def test_a_code_that_speaks_of_the_topic_keeps_it_quiet_and_no_other(
    tmp_path: Path, code: int
) -> None:
    other = TOPICS.sample("strap", "other")
    behaviour = Behaviour(puback={LIVE: code}, reason_string="as configured")
    async with Responder(behaviour) as broker, connected(tmp_path, endpoint_of(broker)) as gateway:
        gateway.sample()
        await broker.until(lambda: any(one.topic == OUTBOX_EVENTS for one in broker.published))
        gateway.sample(5)
        gateway.sample(5, stream="other")
        await broker.until(lambda: len(seqs(broker.published, other)) == 5)
        assert seqs(broker.published, LIVE) == [1]
        await gateway.on_disk(6)
    # The history's topic may be parked as well: its name contains the other one.
    events = [json.loads(one.payload) for one in broker.published if one.topic == OUTBOX_EVENTS]
    assert {event["change"] for event in events} == {"parked"}
    assert events[0]["detail"].startswith(f"{LIVE}: ")
    assert "(as configured)" in events[0]["detail"]


async def test_a_success_with_a_code_is_a_success(tmp_path: Path) -> None:
    """0x10: accepted, but there is no subscriber."""
    async with (
        Responder(Behaviour(puback={"beat": 0x10})) as broker,
        connected(tmp_path, endpoint_of(broker)) as gateway,
    ):
        gateway.sample(3)
        await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
        assert await gateway.stored() == {}
    assert seqs(broker.accepted, LIVE) == [1, 2, 3]


async def test_stored_samples_that_are_refused_again_and_again_pause_longer_and_longer(
    tmp_path: Path,
) -> None:
    behaviour = Behaviour(puback={HISTORY: 0x83})
    with capture_logs() as log:
        async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gw:
            gw.sample(20, age_s=OVERDUE_S)
            gw.sample(5, age_s=OVERDUE_S, peripheral="scale")
            await gw.on_disk(25)
            gw.connect()
            await broker.until(lambda: len(seqs(broker.published, HISTORY)) >= 10)
            await asyncio.sleep(3.5)
            tried = len(seqs(broker.published, HISTORY))
            # Live samples and other streams' history go on.
            gw.sample()
            await broker.until(lambda: seqs(broker.accepted, LIVE) == [21])
            scale = TOPICS.history("scale", "beat")
            assert seqs(broker.accepted, scale) == [1, 2, 3, 4, 5]
    # One window, then one after 1 s, and one after 2 s more.
    assert 11 <= tried <= 12
    assert len([one for one in log if one["event"] == "refused for now"]) == 1


async def test_live_samples_that_are_refused_again_and_again_are_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The full queue of a subscriber to live topics: history is accepted in between."""
    monkeypatch.setattr("healthd.mqtt.pauses.FIRST_S", 0.1)
    behaviour = Behaviour(puback={LIVE: 0x83, HISTORY: 0})
    with capture_logs() as log:
        async with (
            Responder(behaviour) as broker,
            connected(tmp_path, endpoint_of(broker)) as gateway,
        ):
            for count in range(1, 5):
                gateway.sample()
                await broker.until(lambda count=count: len(seqs(broker.accepted, HISTORY)) == count)
    assert broker.connections[0].refused == [(LIVE, 0x83)] * 4
    assert len([one for one in log if one["event"] == "refused for now"]) == 1


@pytest.mark.parametrize("code", [0x83, 0x87])
async def test_history_keeps_its_order_whatever_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr("healthd.mqtt.parking.FIRST_S", 0.1)
    monkeypatch.setattr("healthd.mqtt.history.FIRST_S", 0.1)
    monkeypatch.setattr("healthd.mqtt.pauses.FIRST_S", 0.1, raising=False)
    behaviour = Behaviour(puback_delay_s=0.02)
    async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gateway:
        gateway.sample(900, age_s=OVERDUE_S)
        await gateway.on_disk(900)
        gateway.connect()
        for _ in range(8):
            behaviour.puback = {HISTORY: code}
            refused = len(broker.connections[0].refused) if broker.connections else 0
            await broker.until(
                lambda refused=refused: (
                    bool(broker.connections) and len(broker.connections[0].refused) > refused
                )
            )
            # Every sample in flight is refused before one is accepted again.
            await asyncio.sleep(0.3)
            behaviour.puback = {}
            known = len(broker.accepted)
            await broker.until(lambda known=known: len(broker.accepted) > known + 30)
        await gateway.on_disk(0)
    assert seqs(broker.accepted, HISTORY) == list(range(1, 901))


@pytest.mark.parametrize("code", [0x83, 0x97])
async def test_a_retained_message_that_is_refused_for_now_is_sent_again(
    tmp_path: Path, code: int
) -> None:
    behaviour = Behaviour(puback={TOPICS.status: code})
    with capture_logs() as log:
        async with (
            Responder(behaviour) as broker,
            connected(tmp_path, endpoint_of(broker)) as gateway,
        ):
            gateway.publisher.retain(TOPICS.status, b"online")
            await broker.until(lambda: len(broker.connections[0].refused) >= 2)
            behaviour.puback = {}
            await broker.until(lambda: [one.topic for one in broker.accepted] == [TOPICS.status])
            assert gateway.faults == []
    assert broker.accepted[0].retain
    assert len([one for one in log if one["event"] == "retained topic refused"]) == 1


@pytest.mark.parametrize("code", [0x87, 0x90, 0x99])
async def test_a_topic_at_which_every_connection_ends_is_parked_and_all_others_flow(
    tmp_path: Path, code: int
) -> None:
    """AWS IoT Core ends the connection of a client that may not publish at a topic."""
    behaviour = Behaviour(disconnect_on={"strap/beat": code})
    other = TOPICS.sample("strap", "other")
    async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gateway:
        gateway.publisher.retain(TOPICS.status, b"online")
        gateway.sample(3)
        gateway.sample(2, age_s=OVERDUE_S, stream="other")
        gateway.connect()
        # Twice for the live topic, and twice for that of the history.
        await broker.until(lambda: len(broker.disconnects) >= 4)
        gateway.sample(20, stream="other")
        await broker.until(lambda: set(range(3, 23)) <= set(seqs(broker.accepted, other)))
        await broker.until(lambda: any(one.topic == TOPICS.status for one in broker.accepted))
        assert not broker.connections[-1].over
    assert broker.disconnects[:4] == [code] * 4
    assert len(broker.disconnects) <= 6


async def test_history_waits_for_a_large_sample_at_first_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0x95 of a PUBACK may pass, so the order is kept; live samples flow meanwhile."""
    monkeypatch.setattr("healthd.mqtt.parking.FIRST_S", 0.5)
    monkeypatch.setattr("healthd.mqtt.history.FIRST_S", 0.5)
    behaviour = Behaviour(puback={HISTORY: 0x95})
    async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gateway:
        gateway.sample(12, age_s=OVERDUE_S)
        await gateway.on_disk(12)
        gateway.connect()
        await broker.until(lambda: len(broker.connections) > 0)
        await broker.until(lambda: (HISTORY, 0x95) in broker.connections[0].refused)
        gateway.sample(3)
        await broker.until(lambda: seqs(broker.accepted, LIVE) == [13, 14, 15])
        behaviour.puback = {}
        await broker.until(lambda: len(seqs(broker.accepted, HISTORY)) == 12)
    assert seqs(broker.accepted, HISTORY) == list(range(1, 13))
