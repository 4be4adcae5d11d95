"""Buttons and numbers that send requests to a gateway and its peripherals."""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from healthd.mqtt.homeassistant.components import QOS, Component, Config, availability
from healthd.mqtt.homeassistant.fields import PAYLOAD, scaled_template
from healthd.mqtt.topics import Topics
from healthd.settings.model import PeripheralSettings
from healthd.verbs import REQUESTS

# Home Assistant accepts no step below 1/1000. Ranges are rounded to that, inwards.
_FINEST = 1000
_TOLERANCE = 1e-6

# Machines report their ranges in steps of 0.01 km/h, 0.1 %, 0.1 levels or 1 W. In m/s they have
# more digits.
_RANGE_DIGITS = 2

_KMH = 3.6

_EVENTS = "fitness_machine_status"

# Profiles of devices that are started and stopped, and of trainers that have no session to start.
_STARTED, _UNLOADED = frozenset({"qardio"}), frozenset({"fec", "kickr"})


class _Target(NamedTuple):
    """A target value that can be set on a machine.

    Attributes:
        verb: the request that sets it.
        key: of the request.
        fact: key of the machine's range in its facts.
        unit: suffix of the range's keys.
        scale: factor from the range to the number that is shown.
        factor: factor from the request to the number that is shown.
        step: used if the machine reports none.
        belt: whether it moves a treadmill's belt, which needs limits in the settings.
        state: key in which the machine reports the target that it was set to; empty if the
            machine reports a different number.
        config: how it is shown.
    """

    verb: str
    key: str
    fact: str
    unit: str
    scale: float
    factor: float
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
        1,
        False,
        "power_w",
        {"unit_of_meas": "W", "dev_cla": "power"},
    ),
    # The range is in tenths of a level; not every machine reports its target in the same unit.
    _Target(
        "set_target_resistance",
        "resistance_level",
        "supported_resistance_range",
        "raw",
        0.1,
        1,
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
        _KMH,
        _KMH,
        0.1,
        True,
        "speed_mps",
        {"unit_of_meas": "km/h", "dev_cla": "speed"},
    ),
    _Target(
        "set_target_inclination",
        "inclination_pct",
        "supported_inclination_range",
        "pct",
        1,
        1,
        0.5,
        True,
        "inclination_pct",
        {"unit_of_meas": "%", "ic": "mdi:slope-uphill"},
    ),
)


def scan_button(topics: Topics, config: Config) -> Component:
    """Return the button that scans for peripherals in range."""
    icon = {"ic": "mdi:bluetooth-settings"}
    return _button(topics, "scan", "Scan", {}, icon | config)


def controls(
    topics: Topics,
    entry: PeripheralSettings,
    streams: Mapping[str, Collection[str]],
    facts: Mapping[str, Any],
    requests: Collection[str],
) -> Iterator[Component]:
    """Yield the controls of a peripheral: for requests that are allowed and that it supports.

    Args:
        topics: of the gateway.
        entry: the peripheral's settings.
        streams: the keys that it has published, by kind.
        facts: what it has reported about itself.
        requests: the verbs that are allowed.
    """
    for verb, name, config in _buttons(topics, entry, streams, facts):
        if verb in requests:
            yield _button(topics, verb, name, {"peripheral": entry.id}, config)
    for target in () if entry.periodic else _TARGETS:
        limits = getattr(entry.control, target.key)
        bounds = _bounds(target, facts.get(target.fact, {}), limits)
        is_refused = _is_refused(target.key, entry, is_belt="treadmill" in streams)
        if target.verb in requests and bounds is not None and not is_refused:
            yield _number(topics, entry.id, target, bounds)


def _buttons(
    topics: Topics,
    entry: PeripheralSettings,
    streams: Mapping[str, Collection[str]],
    facts: Mapping[str, Any],
) -> Iterator[tuple[str, str, Config]]:
    if entry.periodic:
        # It is offline between two runs, so only the gateway has to be online for a fetch. Other
        # controls would need a link.
        yield "fetch", "Fetch", {"ic": "mdi:download", "avty": availability(topics.status)}
        return
    yield "reconnect", "Reconnect", {"ic": "mdi:bluetooth-connect"}
    if "energy_expended_kj" in streams.get("heart_rate", ()):
        yield "reset_energy_expended", "Reset energy expended", {"ic": "mdi:fire"}
    profiles: Collection[str] = facts.get("profiles", ())
    if _STARTED & set(profiles):
        yield "start", "Start", {"ic": "mdi:play"}
        yield "stop", "Stop", {"ic": "mdi:stop"}
    elif _UNLOADED & set(profiles) and "fitness_machine" not in profiles:
        yield "stop", "Stop", {"ic": "mdi:stop"}
    elif _is_controllable(facts):
        if "treadmill" not in streams or entry.control.speed_mps is not None:
            yield "start", "Start", {"ic": "mdi:play"}
        yield "stop", "Stop", {"ic": "mdi:stop"}


def _is_refused(key: str, entry: PeripheralSettings, *, is_belt: bool) -> bool:
    """Return whether a target is refused whatever its value is, see docs/control.md."""
    if key == "resistance_level" and entry.control.resistance_level is None:
        # The power that it takes is not known.
        return is_belt or entry.control.power_w is not None
    return key == "power_w" and is_belt


def _is_controllable(facts: Mapping[str, Any]) -> bool:
    """Return whether a machine reports that a target can be set."""
    features: Mapping[str, Any] = facts.get("fitness_machine_feature", {})
    has_range = any(target.fact in facts for target in _TARGETS)
    return bool(features.get("target_settings")) or has_range


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
            # A touch by mistake must not start a machine: not on an automatic dashboard.
            "ent_cat": "config",
            **config,
        },
    )


def _bounds(
    target: _Target, supported: Mapping[str, Any], limits: tuple[float, float] | None
) -> Config | None:
    """Return minimum, maximum and step: the machine's range within the settings' limits.

    In the unit that is shown. None if neither is known, if nothing lies within both, or for a belt
    without limits.
    """
    lowest, highest, step = (
        supported.get(f"{which}_{target.unit}") for which in ("min", "max", "increment")
    )
    ranges = [] if limits is None else [tuple(limit * target.factor for limit in limits)]
    # An empty range means that the manufacturer never filled it in.
    if lowest is not None and highest is not None and lowest < highest:
        bounds = lowest * target.scale, highest * target.scale
        ranges.append(tuple(round(bound, _RANGE_DIGITS) for bound in bounds))
    if not ranges or (target.belt and limits is None):
        return None
    least = math.ceil(max(low for low, _ in ranges) * _FINEST - _TOLERANCE) / _FINEST
    most = math.floor(min(high for _, high in ranges) * _FINEST + _TOLERANCE) / _FINEST
    if least >= most:
        return None
    finest = round(step * target.scale, _RANGE_DIGITS) if step else target.step
    return {"min": least, "max": most, "step": max(finest, 1 / _FINEST)}


def _number(topics: Topics, peripheral: str, target: _Target, bounds: Config) -> Component:
    field = REQUESTS[target.verb].model_fields[target.key]
    # Home Assistant sends numbers with a decimal point; a request for an integer refuses it.
    value = "value | int" if field.annotation is int else "value"
    if target.factor != 1:
        value = f"{value} / {target.factor}"
    config: Config = {
        "cmd_t": topics.request(target.verb),
        "cmd_tpl": f'{{"peripheral": "{peripheral}", "{target.key}": {{{{ {value} }}}}}}',
        "qos": QOS,
        # Many machines set the target without reporting it.
        "opt": True,
        **bounds,
        **target.config,
    }
    if target.state:
        config |= {
            "stat_t": topics.sample(peripheral, _EVENTS),
            "val_tpl": scaled_template(f"{PAYLOAD}.{target.state}", target.factor, _RANGE_DIGITS),
        }
    name = target.verb.removeprefix("set_").replace("_", " ").capitalize()
    return Component(f"request_{target.verb}", "number", name, config)
