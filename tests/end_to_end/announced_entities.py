"""The entities that Home Assistant gets for a device, and their states."""

import json
from collections.abc import Iterable
from typing import Any

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
    """Return whether every key that was published live and is to be shown is announced."""
    payload = announced(messages).get(f"{_PREFIX}gateway_one/config")
    return payload is not None and _expected(messages) <= payload["cmps"].keys()


def _expected(messages: Iterable[Received]) -> set[str]:
    found: set[str] = set()
    for one in messages:
        kind = one.topic.removeprefix(_DEVICE)
        if (model := _MODELS.get(kind)) is not None:
            found |= {f"{kind}_{key}" for key in one.json() if shown(model, key)}
    return found


def check_entities(messages: list[Received]) -> None:
    """Check that Home Assistant accepts all announcements and has the last measured states."""
    payloads = announced(messages)
    assert complaints_of_all(payloads) == []
    assert len(payloads) == 2
    for payload in payloads.values():
        for id_, config in payload["cmps"].items():
            if "stat_t" not in config:
                continue
            arrived = [one for one in messages if one.topic == config["stat_t"]]
            assert arrived, id_
            now: Any = None
            for message in arrived:
                now = state(config, message.payload, now)
                kind = config["stat_t"].removeprefix(_DEVICE)
                if kind in _MODELS:
                    _is_what_was_measured(now, message, id_.removeprefix(f"{kind}_"))
    # No entity for anything that this device does not have.
    own = payloads[f"{_PREFIX}gateway_one/config"]["cmps"].keys()
    assert own == _expected(messages) | {"status", "link_state"}


def _is_what_was_measured(now: Any, message: Received, key: str) -> None:
    sample = json.loads(message.payload)
    if key in sample:
        assert now == sample[key], (message.topic, key)
