"""The series of numbers that become statistics, and their names in Home Assistant."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from healthd.mqtt.homeassistant.components import device_id
from healthd.mqtt.homeassistant.fields import shown
from healthd.mqtt.homeassistant.looks import display_for
from healthd.mqtt.homeassistant.names import plain_name, title
from healthd.profiles.registry import Registry
from healthd.samples import DeviceTimed, Measurement

SOURCE = "healthd"
"""The part of our statistic ids before the colon."""

# The device classes whose units Home Assistant converts; a unit of another class is shown as it is
# stored. Its classes of units have the same names, but for weight.
_CONVERTED = frozenset(
    {
        "blood_glucose_concentration",
        "distance",
        "duration",
        "energy",
        "frequency",
        "power",
        "pressure",
        "speed",
        "temperature",
        "weight",
    }
)
_WEIGHT, _MASS = "weight", "mass"


class Quantity(NamedTuple):
    """A number of a measurement of which a mean over an hour makes sense.

    Attributes:
        unit: in Home Assistant's words.
        unit_class: Home Assistant's class of units; None: it does not convert the unit.
        name: for people.
        factor: what a value is multiplied by for this unit.
    """

    unit: str
    unit_class: str | None
    name: str
    factor: float = 1.0


class Kind(NamedTuple):
    """One kind of measurement.

    Attributes:
        quantities: by key.
        is_dated: whether ``device_time`` says when it was measured, by the device's clock.
    """

    quantities: Mapping[str, Quantity]
    is_dated: bool


class Series(NamedTuple):
    """The values of one key of one stream.

    Attributes:
        peripheral: id of the peripheral.
        stream: name of the stream, which is its kind of measurement.
        key: of the number.
        person: only the values of this person; empty: all values.
    """

    peripheral: str
    stream: str
    key: str
    person: str = ""


def kinds(registry: Registry) -> dict[str, Kind]:
    """Return the kinds of measurements that have quantities, by name."""
    found: dict[str, Kind] = {}
    for profile in registry.profiles.values():
        models = [source.model for source in (*profile.characteristics, *profile.broadcasts)]
        for model in (*models, *profile.derived):
            if quantities := dict(_quantities(model)):
                found[model.kind] = Kind(quantities, issubclass(model, DeviceTimed))
    return found


def _quantities(model: type[Measurement]) -> Iterator[tuple[str, Quantity]]:
    # Intermediate values lead to a result; the mean of an hour of them means nothing.
    if model.kind.startswith("intermediate_"):
        return
    for key, field in model.model_fields.items():
        entity = shown(model, key)
        # Not of counters, ids and directions.
        if entity is None or entity.config.get("stat_cla") != "measurement":
            continue
        extra = cast("dict[str, Any]", field.json_schema_extra or {})
        look = display_for(str(extra.get("unit")), key)
        if look is not None and look.unit is not None:
            unit_class = _unit_class(look.device_class)
            yield key, Quantity(look.unit, unit_class, plain_name(model.kind, key), look.factor)


def _unit_class(device_class: str | None) -> str | None:
    if device_class not in _CONVERTED:
        return None
    return _MASS if device_class == _WEIGHT else device_class


def statistic_id(gateway: str, series: Series) -> str:
    """Return our own id for the statistics of a series.

    Home Assistant accepts lower-case letters, digits and single underscores.
    """
    parts = [gateway, series.peripheral, series.person]
    if not _names_stream(series):
        parts.append(series.stream)
    parts.append(series.key)
    words = (re.sub("[^a-z0-9]+", "_", part.lower()).strip("_") for part in parts if part)
    return f"{SOURCE}:{'_'.join(words)}"


def name(series: Series, quantity: Quantity) -> str:
    """Return the name of our own statistics, such as ``Chest strap: heart rate``."""
    owner = title(series.peripheral.replace("-", "_"))
    person = f" ({series.person})" if series.person else ""
    # Several streams of a device may have the same quantity.
    stream = "" if _names_stream(series) else f" ({series.stream.replace('_', ' ')})"
    return f"{owner}{person}: {quantity.name[0].lower()}{quantity.name[1:]}{stream}"


def _names_stream(series: Series) -> bool:
    """Return whether the key begins with the name of its stream: heart_rate_bpm, weight_kg."""
    return f"{series.key}_".startswith(f"{series.stream}_")


def unique_id(gateway: str, series: Series) -> str:
    """Return by which id Home Assistant knows the entity that healthd announces for a series."""
    person = f"person_{series.person}_" if series.person else ""
    return f"{device_id(gateway, series.peripheral)}_{person}{series.stream}_{series.key}"
