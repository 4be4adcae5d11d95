"""The series of numbers that become statistics, and their names in Home Assistant."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from healthd.mqtt.homeassistant.components import device_id
from healthd.mqtt.homeassistant.fields import shown
from healthd.mqtt.homeassistant.looks import title
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
    """

    unit: str
    unit_class: str | None
    name: str


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
        models = [characteristic.model for characteristic in profile.characteristics]
        for model in (*models, *profile.derived):
            if quantities := dict(_quantities(model)):
                found[model.kind] = Kind(quantities, issubclass(model, DeviceTimed))
    return found


def _quantities(model: type[Measurement]) -> Iterator[tuple[str, Quantity]]:
    # Intermediate values lead to a result; the mean of an hour of them means nothing.
    if model.kind.startswith("intermediate_"):
        return
    for key in model.model_fields:
        field = shown(model, key)
        config: dict[str, Any] = {} if field is None else field.config
        unit = config.get("unit_of_meas")
        # Not of counters, ids and directions.
        if field is None or unit is None or config.get("stat_cla") != "measurement":
            continue
        yield key, Quantity(unit, _unit_class(config.get("dev_cla")), field.name)


def _unit_class(device_class: str | None) -> str | None:
    if device_class not in _CONVERTED:
        return None
    return _MASS if device_class == _WEIGHT else device_class


def statistic_id(gateway: str, series: Series) -> str:
    """Return our own id for the statistics of a series.

    Home Assistant accepts lower-case letters, digits and single underscores.
    """
    parts = [gateway, series.peripheral, series.person]
    # Most keys begin with the name of their stream: heart_rate_bpm, weight_kg.
    if not f"{series.key}_".startswith(f"{series.stream}_"):
        parts.append(series.stream)
    parts.append(series.key)
    words = (re.sub("[^a-z0-9]+", "_", part.lower()).strip("_") for part in parts if part)
    return f"{SOURCE}:{'_'.join(words)}"


def name(series: Series, quantity: Quantity) -> str:
    """Return the name of our own statistics, such as ``Chest strap: heart rate``."""
    owner = title(series.peripheral.replace("-", "_"))
    person = f" ({series.person})" if series.person else ""
    what = f"{quantity.name[0].lower()}{quantity.name[1:]}"
    return f"{owner}{person}: {what}"


def unique_id(gateway: str, series: Series) -> str:
    """Return by which id Home Assistant knows the entity that healthd announces for a series."""
    entity = f"{device_id(gateway, series.peripheral)}_{series.stream}_{series.key}"
    return f"{entity}_{series.person}" if series.person else entity
