"""Discovery end to end: announcements at the broker, across births, restarts and changes."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from healthd.mqtt import discovery
from healthd.settings.model import Settings
from healthd.simulator.catalogue import CATALOGUE
from tests.end_to_end.announced_entities import announced
from tests.end_to_end.simulated_gateway import BOUND_S, add, address, device, gateway
from tests.support.conformity import conform
from tests.support.hass_rules import complaints_of_all
from tests.support.hass_states import state
from tests.support.subscriber import Received, Subscriber, publish

GATEWAY = "homeassistant/device/gateway/config"
STRAP = "homeassistant/device/gateway_strap/config"
SCALE = "homeassistant/device/gateway_scale/config"
BIRTH = "homeassistant/status"
RATE, WEIGHT = "heart_rate_heart_rate_bpm", "weight_weight_kg"

STRAP_ENTRY = {"id": "strap", "address": address(1)}
SCALE_ENTRY = {"id": "scale", "address": address(2), "every": "1h", "window": "4s"}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healthd.sessions.collect.QUIET_S", 0.5)
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.1)
    monkeypatch.setattr(discovery, "SETTLE_S", 0.1)
    monkeypatch.setattr(discovery, "FIRST_S", 1.0)
    monkeypatch.setattr(discovery, "REPEAT_S", 0.5)
    monkeypatch.setattr(discovery, "JITTER_S", (0.01, 0.1))


def with_discovery(settings: Mapping[str, Any], **mqtt: Any) -> dict[str, Any]:
    return {**settings, "mqtt": {**settings["mqtt"], "discovery": "homeassistant", **mqtt}}


async def kept(port: int) -> dict[str, Received]:
    """Return the retained messages at the broker."""
    async with Subscriber(port, name="late-subscriber") as late:
        await publish(port, "the/end", "")
        await late.until(lambda all_: any(one.topic == "the/end" for one in all_))
        return {one.topic: one for one in late.messages if one.retained}


def has(messages: list[Received], topic: str, *entities: str) -> bool:
    return set(entities) <= announced(messages).get(topic, {"cmps": {}})["cmps"].keys()


def is_available(payload: Mapping[str, Any], entity: str, memory: Mapping[str, Received]) -> bool:
    """Return the availability as in Home Assistant: an entity's list replaces the device's."""
    config = payload["cmps"][entity]
    return all(memory[one["t"]].payload == b"online" for one in config.get("avty", payload["avty"]))


async def test_announcements_follow_samples_births_restarts_and_settings(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    port = Settings.model_validate(settings).mqtt.brokers[0].port
    assert port is not None
    both = [STRAP_ENTRY, SCALE_ENTRY]
    async with gateway(subscriber, with_discovery(settings), both) as air:
        strap, scale = device("heart_rate", 1, 0.2), device("weight_scale", 2, 0.3)
        await add(air, strap, scale)
        await subscriber.until(lambda all_: has(all_, STRAP, RATE, "battery_level_pct"), BOUND_S)
        await subscriber.until(lambda all_: has(all_, SCALE, WEIGHT), BOUND_S)
        where = "healthd/gateway/device/scale"
        await subscriber.until_payload(f"{where}/status", b"offline", since=1)
        payloads = announced(subscriber.messages)
        assert complaints_of_all(payloads) == []
        assert payloads[STRAP]["dev"]["mf"] == "healthd"
        memory = await kept(port)
        assert announced(memory.values()) == payloads
        # The scale is disconnected, and its last result is still valid.
        assert is_available(payloads[SCALE], WEIGHT, memory)
        assert is_available(payloads[STRAP], RATE, memory)
        assert state(payloads[SCALE]["cmps"][WEIGHT], memory[f"{where}/weight"].payload) > 0
        for birth in range(2):
            before = len(subscriber.messages)
            await publish(port, BIRTH, "online")
            await subscriber.until(
                lambda all_, before=before: announced(all_[before:]).keys() == payloads.keys()
            )
            assert announced(subscriber.messages[before:]) == payloads, birth
    # The strap was removed from the settings while healthd was down; the scale is out of range.
    before = len(subscriber.messages)
    async with gateway(subscriber, with_discovery(settings), [SCALE_ENTRY]):
        await subscriber.until_payload(STRAP, b"", since=before)
        await subscriber.until(lambda all_: SCALE in announced(all_[before:]))
    memory = await kept(port)
    assert announced(memory.values()) == {one: payloads[one] for one in (GATEWAY, SCALE)}
    # Discovery is switched off.
    before = len(subscriber.messages)
    async with gateway(subscriber, settings, [SCALE_ENTRY]):
        for topic in (GATEWAY, SCALE):
            await subscriber.until_payload(topic, b"", since=before)
    assert announced((await kept(port)).values()) == {}
    ours = (one for one in subscriber.messages if one.payload and one.topic != BIRTH)
    assert conform(ours) >= {"discovery_gateway", "discovery_device"}


async def test_a_device_with_another_name_keeps_its_entities(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    for name in ("Strap of Anna", "Strap of Bert"):
        before = len(subscriber.messages)
        async with gateway(subscriber, with_discovery(settings), [STRAP_ENTRY]) as air:
            strap = CATALOGUE["heart_rate"].make(
                address(1), random.Random(1), name=name, period=0.2
            )
            await add(air, strap)
            await subscriber.until(
                lambda all_, name=name, before=before: (
                    has(all_[before:], STRAP, RATE)
                    and announced(all_[before:])[STRAP]["dev"]["name"] == name
                ),
                BOUND_S,
            )
    configs = [one.json() for one in subscriber.at(STRAP) if RATE in one.json()["cmps"]]
    assert {config["dev"]["name"] for config in configs} == {"Strap of Anna", "Strap of Bert"}
    assert len({str(config["dev"]["ids"]) for config in configs}) == 1
    assert len({str(config["cmps"]) for config in configs}) == 1


async def test_a_request_that_is_no_longer_allowed_is_removed_from_the_announcement(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    allowed = with_discovery(settings, requests=["scan", "fetch"])
    async with gateway(subscriber, allowed, [SCALE_ENTRY]):
        await subscriber.until(lambda all_: has(all_, SCALE, "request_fetch"), BOUND_S)
        await subscriber.until(lambda all_: has(all_, GATEWAY, "request_scan"), BOUND_S)
    before = len(subscriber.messages)
    async with gateway(subscriber, with_discovery(settings), [SCALE_ENTRY]):
        await subscriber.until(
            lambda all_: sum(one.topic == SCALE for one in all_[before:]) == 3, BOUND_S
        )
    first, again, second = [
        one.json()["cmps"] for one in subscriber.messages[before:] if one.topic == SCALE
    ][:3]
    assert again == first
    assert first.pop("request_fetch") == {"p": "button"}
    assert first == second
