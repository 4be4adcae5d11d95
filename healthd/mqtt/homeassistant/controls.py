"""Buttons and numbers for what may be asked of a gateway and of its peripherals."""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from healthd.mqtt.homeassistant.components import QOS, Component, Config, availability
from healthd.mqtt.homeassistant.fields import template
from healthd.mqtt.topics import Topics
from healthd.settings.model import PeripheralSettings
from healthd.verbs import REQUESTS

# Home Assistant takes no smaller step. Ranges are rounded to it, inwards.
_FINEST = 1000
_TOLERANCE = 1e-6

_EVENTS = "fitness_machine_status"


class _Target(NamedTuple):
    """A number that a machine can be told.

    Attributes:
        verb: which request tells it.
        key: of the request.
        fact: the machine's range, in what is known of it.
        unit: what the keys of the range end with.
        scale: from the range to the request.
        step: where the machine names none.
        belt: a treadmill's, which is moved within the settings' limits alone.
        state: key by which the machine says what it was told; empty where that is another number.
        config: how it is shown.
    """

    verb: str
    key: str
    fact: str
    unit: str
    scale: float
    step: float
    belt: bool
    state: str
    config: Config


_TARGETS = (
    _Target(
        "set_target_power",
        "power_w",
        "supported_power_range",
        "w",
        1,
        1,
        False,
        "power_w",
        {"unit_of_meas": "W", "dev_cla": "power"},
    ),
    # The range is in tenths of a level; what the machine tells of its target is not at every one.
    _Target(
        "set_target_resistance",
        "resistance_level",
        "supported_resistance_range",
        "raw",
        0.1,
        0.1,
        False,
        "",
        {"ic": "mdi:dumbbell"},
    ),
    _Target(
        "set_target_speed",
        "speed_mps",
        "supported_speed_range",
        "mps",
        1,
        0.01,
        True,
        "speed_mps",
        {"unit_of_meas": "m/s", "dev_cla": "speed"},
    ),
    _Target(
        "set_target_inclination",
        "inclination_pct",
        "supported_inclination_range",
        "pct",
        1,
        0.5,
        True,
        "inclination_pct",
        {"unit_of_meas": "%", "ic": "mdi:slope-uphill"},
    ),
)


def scan_button(topics: Topics, config: Config) -> Component:
    """Looks for peripherals that are in range."""
    return _button(topics, "scan", "Scan", {}, {"ic": "mdi:bluetooth-settings", **config})


def controls(
    topics: Topics,
    entry: PeripheralSettings,
    streams: Mapping[str, Collection[str]],
    facts: Mapping[str, Any],
    requests: Collection[str],
) -> Iterator[Component]:
    """What may be asked of a peripheral, and what it can do.

    Args:
        topics: of the gateway.
        entry: the peripheral's settings.
        streams: the keys that it has published, by kind.
        facts: what it has said about itself.
        requests: the verbs that are allowed.
    """
    for verb, name, config in _buttons(topics, entry, streams, facts):
        if verb in requests:
            yield _button(topics, verb, name, {"peripheral": entry.id}, config)
    for target in () if entry.periodic else _TARGETS:
        limits = getattr(entry.control, target.key)
        bounds = _bounds(target, facts.get(target.fact, {}), limits)
        if target.verb in requests and bounds is not None:
            yield _number(topics, entry.id, target, bounds)


def _buttons(
    topics: Topics,
    entry: PeripheralSettings,
    streams: Mapping[str, Collection[str]],
    facts: Mapping[str, Any],
) -> Iterator[tuple[str, str, Config]]:
    if entry.periodic:
        # It is offline between two runs, and this ends that. Nobody can control it meanwhile.
        yield "fetch", "Fetch", {"ic": "mdi:download", "avty": availability(topics.status)}
        return
    yield "reconnect", "Reconnect", {"ic": "mdi:bluetooth-connect", "ent_cat": "config"}
    if "energy_expended_kj" in streams.get("heart_rate", ()):
        yield "reset_energy_expended", "Reset energy expended", {"ic": "mdi:fire"}
    if _obeys(facts):
        if "treadmill" not in streams or entry.control.speed_mps is not None:
            yield "start", "Start", {"ic": "mdi:play"}
        yield "stop", "Stop", {"ic": "mdi:stop"}


def _obeys(facts: Mapping[str, Any]) -> bool:
    """Whether a machine says that it can be told something."""
    features: Mapping[str, Any] = facts.get("fitness_machine_feature", {})
    return bool(features.get("target_settings")) or any(one.fact in facts for one in _TARGETS)


def _button(
    topics: Topics, verb: str, name: str, request: Mapping[str, Any], config: Config
) -> Component:
    return Component(
        f"request_{verb}",
        "button",
        name,
        {
            "cmd_t": topics.request(verb),
            "pl_prs": orjson.dumps(request).decode(),
            "qos": QOS,
            **config,
        },
    )


def _bounds(
    target: _Target, said: Mapping[str, Any], limits: tuple[float, float] | None
) -> Config | None:
    """Least, most and step: the machine's own, within the settings' limits; None without any."""
    lowest, highest, step = (
        said.get(f"{which}_{target.unit}") for which in ("min", "max", "increment")
    )
    ranges = [] if limits is None else [limits]
    # One that allows nothing was never filled in.
    if lowest is not None and highest is not None and lowest < highest:
        ranges.append((lowest * target.scale, highest * target.scale))
    if not ranges or (target.belt and limits is None):
        return None
    least = math.ceil(max(low for low, _ in ranges) * _FINEST - _TOLERANCE) / _FINEST
    most = math.floor(min(high for _, high in ranges) * _FINEST + _TOLERANCE) / _FINEST
    if least >= most:
        return None
    finest = round(step * target.scale, 3) if step else target.step
    return {"min": least, "max": most, "step": max(finest, 1 / _FINEST)}


def _number(topics: Topics, peripheral: str, target: _Target, bounds: Config) -> Component:
    field = REQUESTS[target.verb].model_fields[target.key]
    # Home Assistant has numbers with a point in them; a request takes none where it wants none.
    value = "value | int" if field.annotation is int else "value"
    config: Config = {
        "cmd_t": topics.request(target.verb),
        "cmd_tpl": f'{{"peripheral": "{peripheral}", "{target.key}": {{{{ {value} }}}}}}',
        "qos": QOS,
        # Many machines do what they are told and say nothing of it.
        "opt": True,
        **bounds,
        **target.config,
    }
    if target.state:
        config |= {
            "stat_t": topics.sample(peripheral, _EVENTS),
            "val_tpl": template(target.state),
        }
    name = target.verb.removeprefix("set_").replace("_", " ").capitalize()
    return Component(f"request_{target.verb}", "number", name, config)
