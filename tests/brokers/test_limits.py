"""The limits that a broker names in its CONNACK are kept, and everything else flows."""

import asyncio
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from healthd.doctor.broker import check_brokers
from healthd.doctor.finding import Status
from healthd.mqtt.topics import place_of
from healthd.outbox.schema import Stored, Stream
from healthd.outbox.store import Store
from healthd.samples import Measurement, Sample
from healthd.settings.model import Settings
from tests.brokers.packets import Publish
from tests.brokers.responder import Behaviour, Responder
from tests.support.publishing import BOUND_S, TOPICS, Gateway, Weight, connected, endpoint_of

STRAPS = ("strap", "left", "right")

# Older than a live sample may be.
OVERDUE_S = 2.1

# Of eight messages one is not live, so that retained ones arrive however many live ones there are.
TURNS = 8

# Larger than a CONNECT; before and after the lengths from which the header is longer.
LENGTHS = (90, 98, 99, 200, 16_353, 16_354, 70_000)


_FRAMES = "healthd/gw/device/strap/frame/history"


class Frame(Measurement):
    """A sample as large as its test wants."""

    kind: ClassVar[str] = "frame"

    values: str


def ids(published: Iterable[Publish], *topics: str) -> list[str]:
    """Return the ids of the samples at these topics, in the order of arrival."""
    return [json.loads(one.payload)["id"] for one in published if one.topic in topics]


async def arrive(broker: Responder, samples: Iterable[Sample]) -> None:
    """Wait until each of these samples was published live or as history."""
    wanted = {(one.peripheral, one.stream, one.id) for one in samples}
    await broker.until(lambda: wanted <= set(samples_in(broker.published)))


def samples_in(published: Iterable[Publish]) -> list[tuple[str, str, str]]:
    """Return peripheral, stream and id of each sample, in the order of arrival."""
    places = [(place_of(one.topic, TOPICS.prefix), one.payload) for one in published]
    return [
        (place.peripheral, place.stream, json.loads(payload)["id"])
        for place, payload in places
        if place is not None and place.peripheral and b'"id"' in payload
    ]


def framed(gateway: Gateway, size: int) -> Sample:
    """Put a sample with about this many bytes of payload into the outbox."""
    sample = gateway.run.sample("strap", "frame", Frame(values="x" * size))
    gateway.outbox.put(sample)
    gateway.put.append(sample)
    return sample


@pytest.mark.parametrize("receive_maximum", [1, 2, 10])
async def test_no_more_publishes_are_unacknowledged_than_the_broker_accepts(
    tmp_path: Path, receive_maximum: int
) -> None:
    behaviour = Behaviour(receive_maximum=receive_maximum, puback_delay_s=0.03)
    async with Responder(behaviour) as broker, Gateway(tmp_path / "s", endpoint_of(broker)) as gw:
        old = gw.sample(15, age_s=OVERDUE_S)
        await gw.on_disk(15)
        for number in range(30):
            gw.publisher.retain(f"homeassistant/device/gw_{number}/config", b"{}")
        gw.connect()
        await gw.connected()
        answers = [
            gw.publisher.publish_once(TOPICS.response("scan"), b"{}", "response/1", None)
            for _ in range(5)
        ]
        gw.outbox.put(gw.run.sample("scale", "weight", Weight(grams=70_000)))
        for _ in range(5):
            for strap in STRAPS:
                gw.sample(1, peripheral=strap)
            await asyncio.sleep(0.05)
        await arrive(broker, gw.put)
        await asyncio.wait_for(gw.outbox.live.settled(), BOUND_S)
        await gw.on_disk(0)
        await asyncio.gather(*(answer for answer in answers if answer is not None))
        await broker.until(
            lambda: sum("homeassistant/" in one.topic for one in broker.published) == 30
        )
        (connection,) = broker.connections
        assert ids(broker.published, TOPICS.history("strap", "beat"))[:15] == [s.id for s in old]
    assert len(answers) == 5 and None not in answers
    # It was used up, and never exceeded.
    assert connection.most_in_flight == receive_maximum
    assert broker.disconnects == []
    assert gw.faults == []
    published = samples_in(broker.published)
    assert len(published) == len(set(published)), "a sample was sent twice"


async def test_a_live_sample_waits_neither_for_retained_messages_nor_for_a_backlog(
    tmp_path: Path,
) -> None:
    behaviour = Behaviour(receive_maximum=2, puback_delay_s=0.01)
    async with Responder(behaviour) as broker, Gateway(tmp_path / "s", endpoint_of(broker)) as gw:
        gw.sample(100, age_s=OVERDUE_S)
        await gw.on_disk(100)
        for number in range(300):
            gw.publisher.retain(f"homeassistant/device/gw_{number}/config", b"{}")
        gw.connect()
        await broker.until(lambda: len(broker.published) > 20)
        before = len(broker.published)
        (young,) = gw.sample()
        await arrive(broker, [young])
        announced = sum(one.topic.startswith("homeassistant/") for one in broker.published)
        place = ids(broker.published, TOPICS.sample("strap", "beat"))
        waited = [
            one.topic
            for one in broker.published[before:]
            if one.topic != TOPICS.sample("strap", "beat")
        ]
    assert place == [young.id]
    # The messages in flight, and what was sent while the sample was on its way: not hundreds.
    assert len(waited) < 30
    assert announced < 300, "nothing else was waiting"


async def test_samples_that_grow_old_while_they_wait_are_sent_once_and_in_order(
    tmp_path: Path,
) -> None:
    """The broker takes longer for one sample than a live sample may wait."""
    behaviour = Behaviour(receive_maximum=1, puback_delay_s=1.4)
    live, history = TOPICS.sample("strap", "beat"), TOPICS.history("strap", "beat")
    async with Responder(behaviour) as broker, connected(tmp_path, endpoint_of(broker)) as gateway:
        for _ in range(6):
            gateway.sample()
            await asyncio.sleep(0.3)
        await arrive(broker, gateway.put)
        await gateway.on_disk(0)
        await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
    assert len(ids(broker.published, live, history)) == 6
    assert ids(broker.published, live)[0] == gateway.put[0].id
    for topic in (live, history):
        found = ids(broker.published, topic)
        assert found == sorted(found)
    assert ids(broker.published, history), "none has grown old"


async def test_retained_messages_arrive_alongside_more_live_samples_than_the_broker_accepts(
    tmp_path: Path,
) -> None:
    behaviour = Behaviour(receive_maximum=1, puback_delay_s=0.01)
    async with Responder(behaviour) as broker, Gateway(tmp_path / "s", endpoint_of(broker)) as gw:
        gw.sample(400)
        gw.publisher.retain(TOPICS.status, b"online")
        gw.connect()
        await broker.until(lambda: any(one.topic == TOPICS.status for one in broker.published))
    assert [one.topic for one in broker.published].index(TOPICS.status) <= TURNS


async def test_an_older_retained_message_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    weight = TOPICS.sample("scale", "weight")
    async with Responder() as broker, connected(tmp_path / "s", endpoint_of(broker)) as gateway:
        for number in range(20):
            gateway.publisher.retain(f"a/{number}", b"x")
        await broker.until(lambda: sum(one.topic[0] == "a" for one in broker.published) == 20)
        gateway.outbox.put(gateway.run.sample("scale", "weight", Weight(grams=70_000)))
        await broker.until(lambda: any(one.topic == weight for one in broker.published))
        await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
        await gateway.disconnect()
        behaviour = broker.behaviour
        behaviour.receive_maximum, behaviour.puback_delay_s = 1, 0.02
        seen = len(broker.published)
        gateway.connect()
        await gateway.connected(2)
        await broker.until(lambda: len(broker.published) > seen)
        # The old weight is waiting now, to be published again.
        gateway.outbox.put(gateway.run.sample("scale", "weight", Weight(grams=71_000)))
        await broker.until(lambda: sum(one.topic[0] == "a" for one in broker.published) == 40)
        await asyncio.wait_for(gateway.outbox.live.settled(), BOUND_S)
        # It is written after everything that waits now.
        gateway.publisher.retain("z", b"x")
        await broker.until(lambda: broker.published[-1].topic == "z")
    weights = [one for one in broker.published[seen:] if one.topic == weight]
    assert json.loads(weights[-1].payload)["grams"] == 71_000


async def test_what_is_larger_than_the_broker_accepts_counts_as_refused(tmp_path: Path) -> None:
    behaviour = Behaviour(maximum_packet_size=3000)
    live, history = TOPICS.sample("strap", "frame"), TOPICS.history("strap", "frame")
    with capture_logs() as log:
        async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gw:
            old = [framed(gw, 4000), framed(gw, 50)]
            gw.outbox.live.mark_waiting_urgent()
            await gw.on_disk(2)
            gw.publisher.retain("homeassistant/device/gw_strap/config", b"x" * 4000)
            gw.publisher.retain(TOPICS.status, b"online")
            gw.connect()
            await gw.connected()
            answer = gw.publisher.publish_once(TOPICS.response("scan"), b"x" * 4000, "r/1", b"id")
            beats, frames = gw.sample(5), list[Sample]()
            for size in (4000, 60, 5000, 70):
                frames.append(framed(gw, size))
                await asyncio.sleep(0.01)
            small = [old[1], frames[1], frames[3]]
            await arrive(broker, [*beats, *small])
            assert answer is not None
            with pytest.raises(Exception, match=r"message too large: 40\d\d bytes.* 3000"):
                await answer
            # Larger ones are kept: three samples.
            await gw.on_disk(3)
            assert sorted((await gw.stored()).items()) == [(("strap", "frame"), 3)]
            assert gw.faults == []
            # Another broker accepts them.
            await gw.disconnect()
            behaviour.maximum_packet_size = None
            gw.connect()
            await arrive(broker, gw.put)
            await gw.on_disk(0)
    assert 0x95 not in broker.disconnects
    assert ids(broker.published, live) == [sample.id for sample in (frames[1], frames[3])]
    parked = [one for one in log if one["event"] == "outbox" and one["change"] == "parked"]
    assert {one["detail"].split(": ")[0] for one in parked} == {live, history}
    assert len(parked) == 2 and all("at most 3000" in one["detail"] for one in parked)
    refused = [one for one in log if one["event"] == "retained topic refused"]
    assert [one["topic"] for one in refused] == ["homeassistant/device/gw_strap/config"]


async def test_a_limit_that_the_broker_only_enforces_is_learned(tmp_path: Path) -> None:
    behaviour = Behaviour(maximum_packet_size=3000, names_packet_size=False)
    async with Responder(behaviour) as broker, connected(tmp_path, endpoint_of(broker)) as gateway:
        gateway.publisher.retain("homeassistant/device/gw_strap/config", b"x" * 4000)
        gateway.publisher.retain(TOPICS.status, b"online")
        frames = [framed(gateway, size) for size in (60, 5000, 70)]
        beats = gateway.sample(3)
        await arrive(broker, [frames[0], frames[2], *beats])
        await broker.until(lambda: any(one.topic == TOPICS.status for one in broker.published))
        await gateway.on_disk(1)
        # One connection for each of the two at most.
        assert {fault.reason for fault in gateway.faults} == {"packet_too_large"}
        assert 1 <= len(gateway.faults) <= 2
    assert set(broker.disconnects) == {0x95}


async def test_a_very_small_limit_that_the_broker_only_enforces_is_learned(tmp_path: Path) -> None:
    # An event of the outbox fits: it would stay on the disk, too.
    behaviour = Behaviour(maximum_packet_size=400, names_packet_size=False)
    with capture_logs() as log:
        async with (
            Responder(behaviour) as broker,
            connected(tmp_path, endpoint_of(broker)) as gateway,
        ):
            gateway.publisher.retain("homeassistant/device/gw_strap/config", b"x" * 600)
            gateway.publisher.retain(TOPICS.status, b"online")
            large = [framed(gateway, size) for size in (400, 900)]
            small = gateway.sample(3)
            await arrive(broker, small)
            await broker.until(lambda: any(one.topic == TOPICS.status for one in broker.published))
            await gateway.on_disk(len(large))
            # One connection at most for the message, and two for each sample: live and as history.
            assert 1 <= len(gateway.faults) <= 5
    assert set(broker.disconnects) == {0x95}
    # The broker has not named the limit.
    assert all("largest_packet" not in line for line in log if line["event"] == "connected")
    parked = [one["detail"] for one in log if one.get("change") == "parked"]
    assert parked and all("names no such limit" in detail for detail in parked)


async def test_a_large_message_behind_one_in_flight_is_not_read_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    oldest = Store.oldest

    def watched(store: Store, limit: int, skip: Collection[Stream], after: int) -> list[Stored]:
        reads.append(after)
        return oldest(store, limit, skip, after)

    monkeypatch.setattr(Store, "oldest", watched)
    behaviour = Behaviour(maximum_packet_size=600, acknowledges=False)
    async with Responder(behaviour) as broker, Gateway(tmp_path, endpoint_of(broker)) as gateway:
        for size in (10, 900):
            made = gateway.run.sample("strap", "frame", Frame(values="x" * size))
            gateway.outbox.put(made._replace(stamp=made.stamp.earlier(round(OVERDUE_S * 1e9))))
        await gateway.on_disk(2)
        with capture_logs() as log:
            gateway.connect()
            await broker.until(lambda: any(one.topic == _FRAMES for one in broker.published))
            await gateway.until(lambda: any(one.get("change") == "parked" for one in log))
        await gateway.disconnect()
        behaviour.acknowledges, behaviour.puback_delay_s = True, 0.5
        known = len(reads)
        gateway.connect()
        # The large one stays, and the event that says so is delivered.
        await gateway.on_disk(1)
        assert len(reads) - known < 30
    assert [one.topic for one in broker.published if one.topic == _FRAMES] == [_FRAMES] * 2


@pytest.mark.parametrize("offset", [0, 1])
async def test_the_size_of_a_message_is_counted_exactly(tmp_path: Path, offset: int) -> None:
    async with Responder() as broker, connected(tmp_path / "s", endpoint_of(broker)) as gateway:
        sizes: list[int] = []
        for length in LENGTHS:
            before = len(broker.published)
            gateway.publisher.publish_once("a/ö", b"x" * length, "response/1", b"\x01\x02")
            await broker.until(lambda before=before: len(broker.published) > before)
            sizes.append(broker.published[-1].size)
        for length, size in zip(LENGTHS, sizes, strict=True):
            await gateway.disconnect()
            broker.behaviour.maximum_packet_size = size - offset
            known = len(broker.published)
            connects = gateway.connects
            gateway.connect()
            await gateway.connected(connects + 1)
            answer = gateway.publisher.publish_once("a/ö", b"x" * length, "response/1", b"\x01\x02")
            assert answer is not None
            async with asyncio.timeout(BOUND_S):
                await asyncio.wait([answer])
            assert (answer.exception() is None) == (offset == 0), (length, size)
            assert len(broker.published) - known == 1 - offset
    assert 0x95 not in broker.disconnects


@pytest.mark.parametrize("will_topic", [TOPICS.status, None])
async def test_a_broker_without_qos_1_is_left_alone_and_the_next_one_is_used(
    tmp_path: Path, will_topic: str | None
) -> None:
    """The broker refuses the will; without one it would end the connection at the first sample."""
    async with Responder(Behaviour(maximum_qos=0)) as low, Responder() as other:
        unusable = endpoint_of(low, will_topic=will_topic)
        async with Gateway(tmp_path / "1", unusable) as gateway:
            gateway.connect()
            fault = await gateway.failed("qos_refused")
            assert "QoS" in str(fault) and "broker" in str(fault)
            assert fault.backoff.first_s >= 10
        async with connected(tmp_path / "2", unusable, endpoint_of(other)) as gateway:
            await arrive(other, gateway.sample(3))
    assert low.published == []
    assert low.connacks[0] == (0 if will_topic is None else 0x9B)


@pytest.mark.parametrize("how", ["the broker says so", "retain = false", "a refused message"])
async def test_without_retained_messages_everything_arrives_without_the_flag(
    tmp_path: Path, how: str
) -> None:
    """The will is sent before the broker can say that it keeps nothing."""
    behaviour = Behaviour(retain_available=how == "a refused message")
    if how == "a refused message":
        behaviour.puback = {TOPICS.info: 0x9A}
    weight = TOPICS.sample("scale", "weight")
    async with Responder(behaviour) as broker:
        endpoint = endpoint_of(
            broker,
            retain=how != "retain = false",
            will_topic=None if how == "the broker says so" else TOPICS.status,
        )
        async with connected(tmp_path / "s", endpoint) as gateway:
            gateway.publisher.retain(TOPICS.info, b"{}")
            if how == "a refused message":
                await broker.until(lambda: broker.connections[0].refused)
            cleared = asyncio.Event()
            gateway.publisher.retain(TOPICS.device_info("gone"), b"", cleared.set)
            gateway.publisher.retain(TOPICS.status, b"online")
            gateway.outbox.put(gateway.run.sample("scale", "weight", Weight(grams=70_000)))
            await broker.until(lambda: any(one.topic == weight for one in broker.published))
            await broker.until(lambda: any(one.topic == TOPICS.status for one in broker.published))
            if how != "retain = false":
                # With that setting it may still be there.
                async with asyncio.timeout(BOUND_S):
                    await cleared.wait()
            assert gateway.faults == []
    sent = {one.topic: one.retain for one in broker.published}
    assert sent.pop(TOPICS.info) == (how == "a refused message")
    assert sent == {TOPICS.status: False, weight: False}
    connect = broker.connections[0].connect
    assert connect is not None
    assert connect.will_retain == (how == "a refused message")
    assert broker.disconnects == []


async def test_a_refused_retained_will_says_what_to_set(tmp_path: Path) -> None:
    async with (
        Responder(Behaviour(retain_available=False)) as broker,
        Gateway(tmp_path, endpoint_of(broker)) as gateway,
    ):
        gateway.connect()
        fault = await gateway.failed("retain_refused")
    assert broker.connacks[0] == 0x9A
    assert "retain = false" in str(fault)


@pytest.mark.parametrize(
    ("behaviour", "found", "fix"),
    [
        (Behaviour(retain_available=False), "keeps no retained messages", "retain = false"),
        (Behaviour(maximum_qos=0), "QoS 0 only", "allow it at the broker"),
    ],
)
async def test_doctor_names_a_limit_that_healthd_cannot_live_with(
    behaviour: Behaviour, found: str, fix: str
) -> None:
    async with Responder(behaviour) as broker:
        settings = Settings.model_validate(
            {"gateway": {"id": "gw"}, "mqtt": {"brokers": [broker.address]}}
        )
        findings = await check_brokers(settings, {})
    (bad,) = [one for one in findings if one.status is Status.WRONG]
    assert bad.check == "broker_credentials"
    assert found in bad.found and fix in bad.fix
    assert broker.connacks == [0]


async def test_the_limits_of_a_broker_are_in_the_line_that_says_it_is_connected(
    tmp_path: Path,
) -> None:
    behaviour = Behaviour(
        receive_maximum=10, maximum_packet_size=65_536, maximum_qos=1, wildcard_available=False
    )
    with capture_logs() as log:
        async with Responder(behaviour) as broker, connected(tmp_path, endpoint_of(broker)):
            pass
    (line,) = [line for line in log if line["event"] == "connected"]
    found = {key: line[key] for key in line.keys() - {"event", "log_level", "service", "broker"}}
    assert found == {
        "receive_maximum": 10,
        "largest_packet": 65_536,
        "maximum_qos": 1,
        "wildcards": False,
    }
