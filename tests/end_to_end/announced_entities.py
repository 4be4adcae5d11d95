"""The entities that Home Assistant gets for a device, and their states."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from healthd.cli.contract.schema import published
from healthd.mqtt.homeassistant.fields import shown
from healthd.profiles.registry import load
from tests.support.hass_rules import complaints_of_all
from tests.support.hass_states import state
from tests.support.subscriber import Received

_MODELS = published(load())

_PREFIX = "homeassistant/device/"
_DEVICE = "healthd/gateway/device/one/"


def announced(messages: Iterable[Received]) -> dict[str, dict[str, Any]]:
    """Return the newest announcement at each topic, without cleared ones."""
    newest = {one.topic: one for one in messages if one.topic.startswith(_PREFIX)}
    return {topic: one.json() for topic, one in newest.items() if one.payload}


def is_announced(messages: list[Received]) -> bool:
    """Return whether every key that had a value and is to be shown is announced."""
    payload = announced(messages).get(f"{_PREFIX}gateway_one/config")
    return payload is not None and _expected(messages) <= payload["cmps"].keys()


def _expected(messages: Iterable[Received]) -> set[str]:
    found: set[str] = set()
    for one in messages:
        kind = one.topic.removeprefix(_DEVICE)
        if (model := _MODELS.get(kind)) is not None:
            known = {key for key, value in one.json().items() if value is not None}
            found |= {f"{kind}_{key}" for key in known if shown(model, key)}
            if known >= {"latitude_deg", "longitude_deg"}:
                found.add(f"{kind}_position")
    return found


def check_entities(messages: list[Received]) -> None:
    """Check that Home Assistant accepts all announcements and has the last measured states."""
    payloads = announced(messages)
    assert complaints_of_all(payloads) == []
    assert len(payloads) == 2
    for payload in payloads.values():
        for id_, config in payload["cmps"].items():
            topic = config.get("stat_t", config.get("json_attr_t"))
            if topic is None:
                continue
            arrived = [one for one in messages if one.topic == topic]
            assert arrived, id_
            now: Any = None
            for message in arrived:
                now = state(config, message.payload, now)
                kind = topic.removeprefix(_DEVICE)
                if kind in _MODELS:
                    _is_what_was_measured(now, config, message, id_.removeprefix(f"{kind}_"))
            # Nothing that has a value is unknown: a state that is sent once is in the info.
            if topic == f"{_DEVICE}info":
                assert now is not None, id_
    # No entity for anything that this device does not have.
    own = payloads[f"{_PREFIX}gateway_one/config"]["cmps"].keys()
    assert own == _expected(messages) | {"status", "link_state"}


# How much of the unit that is shown is one unit of the key.
_FACTORS = {"km/h": 3.6, "km": 1e-3, "kcal": 1 / 4.184, "kcal/h": 1 / 4.184, "g": 1e3, "mg": 1e6}


def _is_what_was_measured(now: Any, config: dict[str, Any], message: Received, key: str) -> None:
    sample = json.loads(message.payload)
    if config["p"] == "device_tracker":
        assert now == (sample["latitude_deg"], sample["longitude_deg"])
    elif isinstance(value := sample.get(key), str):
        assert now == value.replace("_", " "), (message.topic, key)
    elif isinstance(value, int) and config.get("dev_cla") == "enum":
        assert now == "reserved", (message.topic, key)
    elif isinstance(value, float | int) and (unit := config.get("unit_of_meas")) in _FACTORS:
        step = 10 ** -(config["sug_dsp_prc"] + 1)
        assert now == pytest.approx(value * _FACTORS[unit], abs=step), (message.topic, key)
    elif key in sample:
        assert now == value, (message.topic, key)
