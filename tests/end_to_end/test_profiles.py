"""Every device of the catalogue -> daemon -> broker: subscribers get what the device sent."""

import asyncio
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from healthd.central.link import Backends
from healthd.gateway.daemon import Daemon
from healthd.mqtt import discovery
from healthd.profiles import registry
from healthd.settings.keys import Keys
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.broker import EmbeddedBroker
from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.part import Sent
from tests.end_to_end.announced_entities import check_entities, is_announced
from tests.end_to_end.expected_health import HEALTH
from tests.end_to_end.expected_machines import MACHINES
from tests.end_to_end.expected_oximeters import OXIMETERS
from tests.end_to_end.expected_pm5 import PM5
from tests.end_to_end.expected_sensors import SENSORS
from tests.end_to_end.expected_vendor import VENDOR
from tests.end_to_end.packet_fields import Topic, Values
from tests.support.conformity import conform
from tests.support.streams import streams
from tests.support.subscriber import Received, Subscriber

ADDRESS = "C0:5E:5E:00:00:01"
DEVICE = "healthd/gateway/device/one"
# Five times as often as real devices: a test takes a few seconds, and derived values still work.
PERIOD_S = 0.2
# Not more often than this: what a scale sends at once is of the same weighing, and a thermometer's
# equal value of the same second is the same result.
RESULTS_S = {
    "weight_scale": 2.0,
    "user_scale": 2.0,
    "body_composition": 2.0,
    "health_thermometer": 1.0,
}
# A busy machine takes several times as long as an idle one.
BOUND_S = 60.0
pytestmark = pytest.mark.timeout(3 * BOUND_S)
# Notifications that may still be on their way to the daemon when it is stopped.
IN_FLIGHT = 2

PUBLISHED = {**SENSORS, **MACHINES, **HEALTH, **OXIMETERS, "pm5": PM5, **VENDOR}

_REGISTRY = registry.load()


def test_every_model_has_expected_values() -> None:
    assert PUBLISHED.keys() == CATALOGUE.keys()


@pytest.mark.untraced
@pytest.mark.parametrize("model", CATALOGUE)
async def test_what_a_device_sends_is_published(
    model: str, broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "SETTLE_S", 0.0)
    sent: list[Sent] = []
    period = RESULTS_S.get(model, PERIOD_S)
    device = CATALOGUE[model].make(ADDRESS, random.Random(7), period=period, record=sent.append)
    entry = {"id": "one", "address": ADDRESS, **CATALOGUE[model].settings}
    settings = Settings.model_validate(
        {
            "gateway": {"id": "gateway"},
            "mqtt": {"brokers": [f"127.0.0.1:{broker.port}"], "discovery": "homeassistant"},
            # The outbox writes as much at its start as it may hold.
            "outbox": {"directory": tmp_path / "outbox", "max_size": "16MB"},
            "peripherals": [entry],
        }
    )
    if (key := CATALOGUE[model].key) is not None:
        keys = Keys(tmp_path / "outbox")
        keys.make_folder()
        keys.store("one", key)
    stop = asyncio.Event()
    async with Subscriber(broker.port) as subscriber, Air() as air:
        await air.add(device)
        await device.appear()
        backends = Backends(air.scanner_backend, air.client_backend)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Daemon(settings, _REGISTRY, {}, backends).run(stop))
            try:
                await subscriber.until(
                    lambda all_: all(_is_enough(all_, topic) for topic in PUBLISHED[model]), BOUND_S
                )
                await subscriber.until(is_announced, BOUND_S)
            finally:
                before = len(subscriber.messages)
                stopped_at = time.monotonic()
                stop.set()
        # This is the last message: all samples have arrived by then.
        await subscriber.until_payload("healthd/gateway/status", b"offline", since=before)
    names = conform(subscriber.messages)
    assert names >= {"status", "info", "health", "device_status", "device_info", "event_link"}
    assert names >= {topic.kind for topic in PUBLISHED[model]}
    infos = [message.json() for message in subscriber.messages if message.topic == f"{DEVICE}/info"]
    assert any(CATALOGUE[model].profile in info.get("profiles", []) for info in infos)
    check_entities(subscriber.messages)
    undecoded = [one.topic for one in subscriber.messages if "/undecoded/" in one.topic]
    assert undecoded == []
    for topic in PUBLISHED[model]:
        _check(topic, _samples(subscriber.messages, topic), sent, stopped_at)


def _samples(messages: list[Received], topic: Topic) -> list[Mapping[str, Any]]:
    """Return the samples of the run, in order."""
    runs = streams(messages, f"{DEVICE}/{topic.kind}")
    return [stream.samples[seq] for stream in runs.values() for seq in sorted(stream.samples)]


def _is_enough(messages: list[Received], topic: Topic) -> bool:
    samples = _samples(messages, topic)
    if len(samples) < topic.samples:
        return False
    derived = all(any(sample.get(key) for sample in samples) for key in topic.within)
    # Without a hole: stored samples come alongside live ones, and may come later.
    whole = [sample["seq"] for sample in samples] == list(range(1, len(samples) + 1))
    return derived and whole and (topic.number is None or _has_all_stored(samples, topic.number))


def _has_all_stored(samples: list[Mapping[str, Any]], number: str) -> bool:
    """Return whether the numbers start at zero and have a constant step, without a hole."""
    numbers = sorted(sample[number] for sample in samples)
    step = numbers[1] - numbers[0]
    return numbers == [index * step for index in range(len(numbers))]


def _check(
    topic: Topic, samples: list[Mapping[str, Any]], sent: list[Sent], stopped_at: float
) -> None:
    expected = _expected(topic, sent)
    samples = [sample for sample in samples if topic.counts(sample)]
    if (number := topic.number or topic.order) is not None:
        # A reading that was sent live before the stored ones were requested is sent again with
        # them, and is published once. So is one that was read to find the first new one.
        once: dict[float, tuple[Values, float]] = {}
        for values, sent_at in expected:
            once.setdefault(values[number], (values, sent_at))
        expected = sorted(once.values(), key=lambda pair: pair[0][number])
        samples = sorted(samples, key=lambda sample: sample[number])
    # Packets that were on their way when the daemon was stopped, or were sent while it stopped, may
    # be missing at the end, and nowhere else.
    due = sum(sent_at < stopped_at for _, sent_at in expected)
    assert due - IN_FLIGHT <= len(samples) <= len(expected)
    for position, (sample, (values, _)) in enumerate(zip(samples, expected, strict=False)):
        for key, value in values.items():
            # Numbers are computed in two ways, so they may differ in the last digit.
            is_number = value is not None and not isinstance(value, str)
            wanted = pytest.approx(value, rel=1e-9) if is_number else value
            assert sample.get(key) == wanted, (topic.kind, position, key)
        assert not sample.get("truncated")
        assert not sample.get("trailing_bytes")
        for key, (least, most) in topic.within.items():
            if (derived := sample.get(key)) is not None:
                assert least <= derived <= most, (topic.kind, position, key)


def _expected(topic: Topic, sent: list[Sent]) -> list[tuple[Values, float]]:
    """Return what must be published for each complete group of packets, and when it was sent."""
    packets = [record for record in sent if registry.canonical_uuid(record.uuid) == topic.uuid]
    groups = [packets[at : at + topic.packets] for at in range(0, len(packets), topic.packets)]
    complete = [group for group in groups if len(group) == topic.packets]
    made = [(topic.read(*(packet.payload for packet in group)), group) for group in complete]
    each = [
        (value, group[-1].at)
        for values, group in made
        for value in (values if isinstance(values, list) else [values])
    ]
    return [(value, sent_at) for value, sent_at in each if value is not None]
