"""The settings of a gateway with one device of each model of the simulator."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from healthd.settings.keys import Keys
from healthd.simulator.broadcasting.catalogue import BROADCASTING, BroadcastModel
from healthd.simulator.catalogue import CATALOGUE, Model
from healthd.simulator.world import address_of
from healthd.verbs import REQUESTS
from tests.end_to_end.simulated_gateway import toml
from tests.support.mosquitto import HOST

GATEWAY = "home"

MODELS: Mapping[str, Model | BroadcastModel] = {**CATALOGUE, **BROADCASTING}
"""All models of the simulator by name: those that are linked, then those that only advertise."""

# What a device's entry needs so that everything of it appears in Home Assistant.
_MORE: Mapping[str, Mapping[str, Any]] = {
    "heart_rate": {"heart_rate_zones": [95, 114, 133, 152, 171]},
    "treadmill": {"control.speed_mps": [0, 3], "control.inclination_pct": [0, 6]},
    # Cuffs are linked for a few seconds at a time.
    "blood_pressure": {"every": "20s"},
    "omron": {"every": "20s"},
    "omron_modern": {"every": "20s"},
}

# All results of the scales and of the cuff have the number of their first user: they are Anna's.
_PEOPLE = """
[[people]]
id = "anna"
weight_kg = 75
users = { weight-scale = 1, user-scale = 1, body-composition = 1, blood-pressure = 1 }
[[people]]
id = "bert"
weight_kg = 95
"""


def address(model: str) -> str:
    """Return the Bluetooth address of the device of a model."""
    return address_of(list(MODELS).index(model) + 1)


def peripheral(model: str) -> str:
    """Return the id that the device of a model has in the settings."""
    return model.replace("_", "-")


def entries(**more: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries of ``[[peripherals]]`` by model; some may have more keys."""
    return {
        name: {
            "id": peripheral(name),
            "address": address(name),
            **model.settings,
            **_MORE.get(name, {}),
            **more.get(name, {}),
        }
        for name, model in MODELS.items()
    }


def write(
    file: Path,
    broker: int,
    peripherals: Iterable[Mapping[str, Any]],
    *,
    requests: Iterable[str] = REQUESTS,
    discovery: str | None = "homeassistant",
) -> None:
    """Write healthd.toml, and the keys of the devices that have one.

    Args:
        file: the settings file; the outbox is next to it.
        broker: the port of the MQTT broker on this machine.
        peripherals: the entries.
        requests: the verbs that are allowed.
        discovery: Home Assistant's prefix; None: nothing is announced.
    """
    sections = {
        "gateway": {"id": GATEWAY},
        "mqtt": {
            "brokers": [f"{HOST}:{broker}"],
            "requests": list(requests),
            **({"discovery": discovery} if discovery else {}),
        },
        "bluetooth": {"slots": len(CATALOGUE)},
        "outbox": {"directory": str(file.with_name("outbox")), "max_size": "16MB"},
    }
    file.write_text(toml(sections, peripherals) + _PEOPLE)
    keys = Keys(file.with_name("outbox"))
    keys.make_folder()
    for name, model in CATALOGUE.items():
        if model.key is not None:
            keys.store(peripheral(name), model.key)
