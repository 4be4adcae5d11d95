"""The announcement of a gateway: its status and its counters."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from healthd import __version__
from healthd.mqtt.homeassistant.components import (
    Component,
    Config,
    announcement,
    availability,
    gateway_id,
    status,
)
from healthd.mqtt.homeassistant.controls import scan_button
from healthd.mqtt.homeassistant.prominence import prominence
from healthd.mqtt.payloads import GatewayHealth
from healthd.mqtt.topics import Topics


class _Counter(NamedTuple):
    """A number of ``health``: its template, and how it is shown."""

    id: str
    name: str
    template: str
    config: Config


_COUNTERS = (
    _Counter(
        "peripherals_streaming",
        "Peripherals streaming",
        "value_json.links.streaming | default(0)",
        {"unit_of_meas": "peripherals", "stat_cla": "measurement", "ic": "mdi:bluetooth-connect"},
    ),
    _Counter(
        "outbox_depth",
        "Outbox",
        "value_json.outbox.in_memory + value_json.outbox.on_disk",
        {"unit_of_meas": "samples", "stat_cla": "measurement", "ic": "mdi:tray-full"},
    ),
    _Counter(
        "outbox_age",
        "Outbox age",
        "value_json.outbox.age_s",
        {"unit_of_meas": "s", "dev_cla": "duration", "stat_cla": "measurement"},
    ),
    _Counter(
        "outbox_evicted",
        "Samples lost to a full outbox",
        "value_json.outbox.evicted",
        {"unit_of_meas": "samples", "stat_cla": "total_increasing", "ic": "mdi:tray-remove"},
    ),
    _Counter(
        "topics_parked",
        "Refused topics",
        "value_json.outbox.parked | count",
        {"unit_of_meas": "topics", "stat_cla": "measurement", "ic": "mdi:cancel"},
    ),
    _Counter(
        "memory",
        "Memory",
        "(value_json.resident_bytes / 1000000) | round(1)",
        {"unit_of_meas": "MB", "dev_cla": "data_size", "stat_cla": "measurement", "sug_dsp_prc": 1},
    ),
    _Counter(
        "open_files",
        "Open files",
        "value_json.open_files",
        {"unit_of_meas": "files", "stat_cla": "measurement", "ic": "mdi:file-multiple"},
    ),
    _Counter(
        "uptime",
        "Uptime",
        "value_json.uptime_s",
        {"unit_of_meas": "s", "dev_cla": "duration", "stat_cla": "total_increasing"},
    ),
)


def gateway_payload(topics: Topics, requests: Collection[str]) -> Config:
    """Return the payload of a gateway.

    Args:
        topics: of the gateway.
        requests: the verbs that are allowed.
    """
    device = {
        "ids": [gateway_id(topics.gateway)],
        "name": f"healthd {topics.gateway}",
        "mf": "healthd",
        "mdl": "Gateway",
        "sw": __version__,
    }
    # No availability at the root: the entity that shows whether the gateway is online has none.
    return announcement(device, f"healthd {topics.gateway}", _components(topics, requests), {})


def _components(topics: Topics, requests: Collection[str]) -> Iterator[Component]:
    yield status(topics.status, "Status", {})
    diagnostic: Config = {"avty": availability(topics.status), "ent_cat": "diagnostic"}
    shared = diagnostic | {"stat_t": topics.health, "exp_aft": GatewayHealth.expires_s}
    for counter in _COUNTERS:
        template = _of_health(counter.template)
        config = {"val_tpl": template, "sug_dsp_prc": 0, **counter.config}
        config |= prominence(GatewayHealth.kind, counter.id)
        yield Component(counter.id, "sensor", counter.name, shared | config)
    degraded = {
        "val_tpl": _of_health("value_json.outbox.state"),
        "pl_on": "degraded",
        "pl_off": "ok",
        "dev_cla": "problem",
    }
    yield Component("outbox_state", "binary_sensor", "Outbox degraded", shared | degraded)
    if "scan" in requests:
        yield scan_button(topics, {"avty": availability(topics.status)})


def _of_health(expression: str) -> str:
    """Return a template that an empty message, which clears the topic, does not change."""
    return f"{{% if value_json is defined %}}{{{{ {expression} }}}}{{% endif %}}"
