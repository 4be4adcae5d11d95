"""Every device that advertises all the time -> daemon -> broker: each change is one sample."""

import random
from typing import Any

import pytest

from healthd.mqtt import discovery
from healthd.simulator.broadcasting.catalogue import BROADCASTING
from healthd.simulator.part import Sent
from tests.end_to_end.announced_entities import check_entities, is_announced
from tests.end_to_end.broadcast_rig import delivered
from tests.end_to_end.expected_broadcasts import BROADCASTS
from tests.end_to_end.packet_fields import Topic, Values
from tests.end_to_end.simulated_gateway import BOUND_S, address, gateway, info
from tests.support.conformity import conform
from tests.support.subscriber import Subscriber

pytestmark = [pytest.mark.timeout(180), pytest.mark.untraced]

DEVICE = "healthd/gateway/device/one"
# More often than most devices change; the values stay in the range of real ones.
PERIOD_S = 0.2
SCALES = {"mi_scale", "mi_body_scale", "okok"}


def test_every_model_has_expected_values() -> None:
    assert BROADCASTS.keys() | SCALES == BROADCASTING.keys()


@pytest.mark.parametrize("model", BROADCASTS)
async def test_what_a_device_advertises_is_published_once(
    model: str,
    subscriber: Subscriber,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "SETTLE_S", 0.0)
    settings["mqtt"]["discovery"] = "homeassistant"
    sent: list[Sent] = []
    device = BROADCASTING[model].make(
        address(1), random.Random(7), period=PERIOD_S, record=sent.append
    )
    # Longer than a busy machine interrupts the device.
    entry = {"id": "one", "service": model, "silence": "5s"}
    topics, status = BROADCASTS[model], f"{DEVICE}/status"
    rides: list[list[Sent]] = []
    async with gateway(subscriber, settings, [entry]) as air:
        await air.add(device)
        for _ in range(2):
            await air.scanned.wait()
            before, begin = len(subscriber.messages), len(sent)
            await device.appear()
            await subscriber.until_payload(status, b"online", since=before, at_most=BOUND_S)
            for topic in topics:
                number = sum(map(len, _expected(topic, rides))) + topic.samples
                await subscriber.until(
                    lambda _, topic=topic, number=number: (
                        len(_samples(subscriber, topic)) >= number
                    ),
                    BOUND_S,
                )
            before = len(subscriber.messages)
            await device.vanish()
            rides.append(sent[begin:])
            await subscriber.until_payload(status, b"offline", since=before, at_most=BOUND_S)
            await subscriber.until(lambda all_: _is_silent(info(all_, "one")), BOUND_S)
        await subscriber.until(is_announced, BOUND_S)
    for topic in topics:
        expected = [values for ride in _expected(topic, rides) for values in ride]
        samples = _samples(subscriber, topic)
        assert len(samples) == len(expected)
        for sample, values in zip(samples, expected, strict=True):
            for key, value in values.items():
                assert sample.get(key) == pytest.approx(value, rel=1e-9), (topic.kind, key)
    conform(subscriber.messages)
    check_entities(subscriber.messages)


def _is_silent(newest: dict[str, Any]) -> bool:
    return (newest["state"], newest.get("reason")) == ("searching", "silent")


def _samples(subscriber: Subscriber, topic: Topic) -> list[dict[str, Any]]:
    return delivered(subscriber, f"{DEVICE}/{topic.kind}")


def _expected(topic: Topic, rides: list[list[Sent]]) -> list[list[Values]]:
    """Return what each distinct payload means; after a silence, all payloads are new."""
    found: list[list[Values]] = []
    for ride in rides:
        payloads = [each.payload for each in ride if each.uuid == topic.uuid]
        changed = [
            payload for at, payload in enumerate(payloads) if at == 0 or payload != payloads[at - 1]
        ]
        read = (topic.read(payload) for payload in changed)
        found.append([values for values in read if isinstance(values, dict)])
    return found
