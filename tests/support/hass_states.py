"""The state of an announced entity in Home Assistant after a message."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

_template = cache(ImmutableSandboxedEnvironment().from_string)

UNKNOWN = None

Place = tuple[float, float]
"""Latitude and longitude."""

_TEXTS = {"enum", "timestamp"}
_NUMERIC = {"unit_of_meas", "stat_cla", "sug_dsp_prc"}


def state(config: Mapping[str, Any], payload: bytes, before: Any = UNKNOWN) -> Any:
    """Return the state of an entity after a message at its topic.

    Args:
        config: of the entity, as announced.
        payload: of the message.
        before: the entity's state before the message.

    Raises:
        AssertionError: Home Assistant would log an error for this message.
    """
    text = payload.decode()
    if config["p"] == "device_tracker":
        return _place(config, text, before)
    if "val_tpl" in config:
        text = _render(config["val_tpl"], text)
    if text == "None":
        return UNKNOWN
    if config["p"] == "binary_sensor":
        on, off = config.get("pl_on", "ON"), config.get("pl_off", "OFF")
        assert text in ("", on, off), (config["uniq_id"], text)
        return before if text == "" else text == on
    class_ = config.get("dev_cla")
    if config["p"] == "number" or (class_ not in _TEXTS and (class_ or _NUMERIC & config.keys())):
        return before if text == "" else float(text)
    assert text, config["uniq_id"]
    assert text in config.get("ops", [text]), (config["uniq_id"], text)
    return text


def _render(template: str, text: str) -> str:
    # An empty message, which clears a retained topic, is no JSON. The template is rendered without.
    values = {"value": text} | ({"value_json": json.loads(text)} if text else {})
    return _template(template).render(values).strip()


def _place(config: Mapping[str, Any], text: str, before: Any) -> Any:
    """Return the place of a tracker, which its attributes have."""
    attributes: dict[str, Any] = json.loads(_render(config["json_attr_tpl"], text))
    if not attributes.keys() & {"latitude", "longitude"}:
        return before
    place: Place = attributes["latitude"], attributes["longitude"]
    assert all(isinstance(degrees, int | float) for degrees in place), (config["uniq_id"], place)
    return place
