"""Every device of the catalogue -> daemon -> broker: subscribers get what the device sent."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from healthd.central.link import Backends
from healthd.gateway.daemon import Daemon
from healthd.mqtt import discovery
from healthd.profiles import registry
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.broker import EmbeddedBroker
from healthd.simulator.catalogue import CATALOGUE
from healthd.simulator.part import Sent
from tests.end_to_end.announced_entities import check_entities, is_announced
from tests.end_to_end.expected_health import HEALTH
from tests.end_to_end.expected_machines import MACHINES
from tests.end_to_end.expected_sensors import SENSORS
from tests.end_to_end.packet_fields import Topic
from tests.support.conformity import conform
from tests.support.streams import streams
from tests.support.subscriber import Received, Subscriber

ADDRESS = "C0:5E:5E:00:00:01"
DEVICE = "healthd/gateway/device/one"
# Five times as often as real devices: a test takes a few seconds, and derived values still work.
PERIOD_S = 0.2
BOUND_S = 30.0

PUBLISHED = {**SENSORS, **MACHINES, **HEALTH}

_REGISTRY = registry.load()


def test_every_model_has_expected_values() -> None:
    assert PUBLISHED.keys() == CATALOGUE.keys()


@pytest.mark.parametrize("model", CATALOGUE)
async def test_what_a_device_sends_is_published(
    model: str, broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "SETTLE_S", 0.0)
    sent: list[Sent] = []
    device = CATALOGUE[model].make(ADDRESS, random.Random(7), period=PERIOD_S, record=sent.append)
    entry = {"id": "one", "address": ADDRESS, **CATALOGUE[model].settings}
    settings = Settings.model_validate(
        {
            "gateway": {"id": "gateway"},
            "mqtt": {"brokers": [f"127.0.0.1:{broker.port}"], "discovery": "homeassistant"},
            "outbox": {"directory": tmp_path / "outbox"},
            "peripherals": [entry],
        }
    )
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
        _check(topic, _samples(subscriber.messages, topic), sent)


def _samples(messages: list[Received], topic: Topic) -> list[Mapping[str, Any]]:
    """Return the samples of the run, in order."""
    runs = streams(messages, f"{DEVICE}/{topic.kind}")
    return [stream.samples[seq] for stream in runs.values() for seq in sorted(stream.samples)]


def _is_enough(messages: list[Received], topic: Topic) -> bool:
    samples = _samples(messages, topic)
    derived = all(any(sample.get(key) for sample in samples) for key in topic.within)
    # Without a hole: stored samples arrive alongside live ones, and may arrive later.
    whole = [one["seq"] for one in samples] == list(range(1, len(samples) + 1))
    return derived and whole and len(samples) >= topic.samples


def _check(topic: Topic, samples: list[Mapping[str, Any]], sent: list[Sent]) -> None:
    packets = [one.payload for one in sent if registry.canonical_uuid(one.uuid) == topic.uuid]
    groups = [packets[at : at + topic.packets] for at in range(0, len(packets), topic.packets)]
    whole = [group for group in groups if len(group) == topic.packets]
    expected = [values for group in whole if (values := topic.read(*group)) is not None]
    if (by := topic.number) is not None:
        samples = sorted(samples, key=lambda sample: sample[by])
        expected.sort(key=lambda values: values[by])
    # Samples in transit when the daemon stopped may be missing, only at the end.
    assert len(samples) <= len(expected)
    assert len(expected) - len(samples) <= 2
    for number, (sample, values) in enumerate(zip(samples, expected, strict=False)):
        for key, value in values.items():
            # Numbers are computed in two different ways, so they may differ in the last digit.
            wanted = value if isinstance(value, str) else pytest.approx(value, rel=1e-9)
            assert sample.get(key) == wanted, (topic.kind, number, key)
        assert not sample.get("truncated")
        assert not sample.get("trailing_bytes")
        for key, (least, most) in topic.within.items():
            if (derived := sample.get(key)) is not None:
                assert least <= derived <= most, (topic.kind, number, key)
