"""Payloads for Home Assistant, made from everything that healthd can measure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from healthd.cli.contract.schema import published
from healthd.mqtt.homeassistant.gateway import gateway_payload
from healthd.mqtt.homeassistant.peripheral import PeripheralPayloads
from healthd.mqtt.topics import Topics
from healthd.profiles.registry import load
from healthd.settings.model import PeripheralSettings
from healthd.verbs import REQUESTS

REGISTRY = load()
TOPICS = Topics("healthd", "living-room")
PREFIX = "homeassistant"
MODELS = published(REGISTRY)

RANGES: Mapping[str, Any] = {
    "fitness_machine_feature": {"target_settings": ["power", "speed"]},
    "supported_power_range": {"min_w": 25, "max_w": 800, "increment_w": 5},
    "supported_resistance_range": {
        "min_raw": 10,
        "max_raw": 200,
        "increment_raw": 10,
        "width": "s16",
    },
    "supported_speed_range": {
        "min_mps": 0.8 / 3.6,
        "max_mps": 20 / 3.6,
        "increment_mps": 0.1 / 3.6,
    },
    "supported_inclination_range": {"min_pct": -3.0, "max_pct": 15.0, "increment_pct": 0.5},
}
LIMITS: Mapping[str, Any] = {
    "control": {
        "power_w": [0, 400],
        "resistance_level": [0, 60],
        "speed_mps": [0, 3],
        "inclination_pct": [0, 6.04],
    }
}
WAYS: Mapping[str, Mapping[str, Any]] = {
    "continuous": {},
    "limited": LIMITS,
    "every": {"every": "15min"},
    "at-times": {"every": ["08:00", "20:00"]},
    "advertising": {"on": "advertising"},
    "listening": {"connect": False},
}

_PERIPHERALS = PeripheralPayloads(TOPICS, REGISTRY)


def entry(id_: str = "bike", **settings: Any) -> PeripheralSettings:
    """Return a peripheral's settings."""
    return PeripheralSettings.model_validate({"id": id_, "name": "Some*", **settings})


def all_keys(*kinds: str) -> dict[str, list[str]]:
    """Return every key of these kinds; without any, of all kinds."""
    return {kind: list(MODELS[kind].model_fields) for kind in kinds or MODELS}


def of_peripheral(
    known: Mapping[str, Collection[str]],
    settings: PeripheralSettings | None = None,
    facts: Mapping[str, Any] | None = None,
    requests: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the payload of a peripheral."""
    return _PERIPHERALS.payload(settings or entry(), known, facts or {}, tuple(requests))


def everything(requests: Collection[str] = tuple(REQUESTS)) -> dict[str, dict[str, Any]]:
    """Return payloads by topic: a gateway, and peripherals with all keys, linked in every way."""
    found = {TOPICS.announcement(PREFIX): gateway_payload(TOPICS, requests)}
    for way, settings in WAYS.items():
        payload = of_peripheral(all_keys(), entry(way, **settings), RANGES, requests)
        found[TOPICS.announcement(PREFIX, way)] = payload
    return found
