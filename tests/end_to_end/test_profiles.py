"""Every device of the catalogue -> daemon -> broker: what it sent is what subscribers get."""

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
from tests.end_to_end.entities import check_entities, is_announced
from tests.end_to_end.health import HEALTH
from tests.end_to_end.machines import MACHINES
from tests.end_to_end.readings import Topic
from tests.end_to_end.sensors import SENSORS
from tests.support.conformity import conform
from tests.support.streams import streams
from tests.support.subscriber import Received, Subscriber

ADDRESS = "C0:5E:5E:00:00:01"
DEVICE = "healthd/gateway/device/one"
# Five times as often as in life: nothing to be derived is lost, and a test takes some seconds.
PERIOD_S = 0.2
BOUND_S = 30.0

PUBLISHED = {**SENSORS, **MACHINES, **HEALTH}

_REGISTRY = registry.load()


def test_something_is_expected_of_every_model() -> None:
    assert PUBLISHED.keys() == CATALOGUE.keys()


@pytest.mark.untraced
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
            # The outbox writes as much at its start as it may hold.
            "outbox": {"directory": tmp_path / "outbox", "max_size": "16MB"},
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
        # It is the last message: all samples are here by then.
        await subscriber.until_payload("healthd/gateway/status", b"offline", since=before)
    names = conform(subscriber.messages)
    assert names >= {"status", "info", "health", "device_status", "device_info", "event_link"}
    assert names >= {topic.kind for topic in PUBLISHED[model]}
    told = [message.json() for message in subscriber.messages if message.topic == f"{DEVICE}/info"]
    assert any(CATALOGUE[model].profile in one.get("profiles", []) for one in told)
    check_entities(subscriber.messages)
    undecoded = [one.topic for one in subscriber.messages if "/undecoded/" in one.topic]
    assert undecoded == []
    for topic in PUBLISHED[model]:
        _check(topic, _samples(subscriber.messages, topic), sent)


def _samples(messages: list[Received], topic: Topic) -> list[Mapping[str, Any]]:
    """The samples of the one run, in order."""
    runs = streams(messages, f"{DEVICE}/{topic.kind}")
    return [stream.samples[seq] for stream in runs.values() for seq in sorted(stream.samples)]


def _is_enough(messages: list[Received], topic: Topic) -> bool:
    samples = _samples(messages, topic)
    derived = all(any(sample.get(key) for sample in samples) for key in topic.within)
    # Without a hole: what was stored comes beside what is live, and may come later.
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
    # What was under way when the daemon stopped may be missing at the end, and nowhere else.
    assert len(samples) <= len(expected)
    assert len(expected) - len(samples) <= 2
    for number, (sample, values) in enumerate(zip(samples, expected, strict=False)):
        for key, value in values.items():
            # Only numbers are read in two ways here and there: they may differ in the last digit.
            wanted = value if isinstance(value, str) else pytest.approx(value, rel=1e-9)
            assert sample.get(key) == wanted, (topic.kind, number, key)
        assert not sample.get("truncated")
        assert not sample.get("trailing_bytes")
        for key, (least, most) in topic.within.items():
            if (derived := sample.get(key)) is not None:
                assert least <= derived <= most, (topic.kind, number, key)
