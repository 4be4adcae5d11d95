"""Events of one kind, and each stream's history, arrive in order whatever a broker refuses."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from healthd.events import OutboxEvent
from tests.brokers.packets import Publish
from tests.brokers.responder import Behaviour, Responder
from tests.support.publishing import TOPICS, Gateway, connected, endpoint_of

LIVE, HISTORY = TOPICS.sample("strap", "beat"), TOPICS.history("strap", "beat")
EVENTS = TOPICS.sample("", "event/outbox")

# Older than a live sample may be.
OVERDUE_S = 2.1


def seqs(published: Iterable[Publish], topic: str) -> list[int]:
    """Return the numbers of the samples at the topic, in the order of arrival."""
    return [json.loads(one.payload)["seq"] for one in published if one.topic == topic]


def note(gateway: Gateway, count: int = 1) -> None:
    """Put events of the same kind into the outbox."""
    for number in range(count):
        event = OutboxEvent(change="parked", detail=f"{number}")
        gateway.outbox.put(gateway.run.event(event))


@pytest.mark.parametrize("code", [0x83, 0x87])
async def test_events_arrive_in_order_after_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr("healthd.mqtt.parking.FIRST_S", 1.0)
    monkeypatch.setattr("healthd.mqtt.history.FIRST_S", 1.0)
    behaviour = Behaviour(puback={EVENTS: code})
    async with Responder(behaviour) as broker, connected(tmp_path, endpoint_of(broker)) as gateway:
        note(gateway, 3)
        await broker.until(lambda: (EVENTS, code) in broker.connections[0].refused)
        note(gateway, 2)
        await asyncio.sleep(0.2)
        behaviour.puback = {}
        for _ in range(20):
            note(gateway)
            await asyncio.sleep(0.1)
        # Parking the topic of the events was worth two events itself.
        wanted = 25 if code == 0x83 else 27
        await broker.until(lambda: len(seqs(broker.accepted, EVENTS)) == wanted)
        await gateway.on_disk(0)
    assert (EVENTS, code) in broker.connections[0].refused
    assert seqs(broker.accepted, EVENTS) == list(range(1, wanted + 1))


async def test_events_that_were_stored_in_an_outage_arrive_before_newer_ones(
    tmp_path: Path,
) -> None:
    async with Responder() as broker, Gateway(tmp_path, endpoint_of(broker)) as gateway:
        note(gateway, 5)
        await gateway.on_disk(5)
        gateway.connect()
        note(gateway, 5)
        await gateway.connected()
        note(gateway, 5)
        await broker.until(lambda: len(seqs(broker.accepted, EVENTS)) == 15)
        await gateway.on_disk(0)
    assert seqs(broker.accepted, EVENTS) == list(range(1, 16))


async def test_events_do_not_wait_for_a_long_backlog(tmp_path: Path) -> None:
    behaviour = Behaviour(receive_maximum=2, puback_delay_s=0.005)
    async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gateway:
        gateway.sample(1000, age_s=OVERDUE_S)
        await gateway.on_disk(1000)
        note(gateway, 5)
        await gateway.on_disk(1005)
        gateway.connect()
        await gateway.connected()
        note(gateway, 5)
        await broker.until(lambda: len(seqs(broker.accepted, EVENTS)) == 10)
        waited = len(seqs(broker.accepted, HISTORY))
    assert seqs(broker.accepted, EVENTS) == list(range(1, 11))
    # Each of the events may wait for a commit.
    assert 0 < waited < 900


async def test_an_earlier_runs_events_arrive_before_those_of_this_run(tmp_path: Path) -> None:
    async with Responder() as broker:
        async with Gateway(tmp_path, endpoint_of(broker)) as first:
            note(first, 5)
        async with Gateway(tmp_path, endpoint_of(broker)) as second:
            note(second, 5)
            second.connect()
            await broker.until(lambda: len(seqs(broker.accepted, EVENTS)) == 10)
            await second.on_disk(0)
    runs = [
        json.loads(one.payload)["id"].partition("-")[0]
        for one in broker.accepted
        if one.topic == EVENTS
    ]
    assert runs == [first.run.id] * 5 + [second.run.id] * 5


async def test_a_late_refusal_of_live_samples_does_not_put_them_after_younger_history(
    tmp_path: Path,
) -> None:
    """Samples in flight when the broker stands still are refused after younger ones are stored."""
    behaviour = Behaviour(acknowledges=False)
    async with Responder(behaviour) as broker, connected(tmp_path, endpoint_of(broker)) as gateway:
        gateway.sample(20)
        await broker.until(lambda: len(seqs(broker.published, LIVE)) == 20)
        gateway.sample(30)
        # All are stored: the window is full, and the others have waited for too long.
        await gateway.on_disk(50)
        behaviour.acknowledges, behaviour.puback = True, {LIVE: 0x95, HISTORY: 0}
        await asyncio.sleep(1.0)
        connection = broker.connections[0]
        overtaken = seqs(broker.published, HISTORY)
        for publish in connection.published:
            if publish.topic == LIVE:
                connection.acknowledge(publish)
        await broker.until(lambda: len(seqs(broker.accepted, HISTORY)) == 50)
        await gateway.on_disk(0)
    assert overtaken == []
    assert seqs(broker.accepted, HISTORY) == list(range(1, 51))
