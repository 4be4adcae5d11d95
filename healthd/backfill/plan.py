"""What to do with each hour, from what Home Assistant has of it. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from healthd.backfill.conversion import Conversion, conversion
from healthd.backfill.hours import Aggregate, Values, equal, utc_text
from healthd.backfill.series import SOURCE, Quantity, Series, name
from healthd.errors import HealthdError

# Home Assistant's kinds of means (``StatisticMeanType``).
_ARITHMETIC = 1

_ENTITIES = "recorder"
"""The source of the statistics of entities."""

_KEYS = ("mean", "min", "max")
"""Home Assistant's keys of ``Values``."""


class Unfit(HealthdError):
    """Statistics into which a series must not be imported; the message says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with the hours of one target.

    Attributes:
        send: hours to import.
        stored: hours that Home Assistant has as they should be.
        left: hours that Home Assistant has from elsewhere, and that stay as they are.
    """

    send: dict[int, Values] = field(default_factory=dict[int, Values])
    stored: dict[int, Values] = field(default_factory=dict[int, Values])
    left: set[int] = field(default_factory=set[int])


def plan(
    hours: Mapping[int, Aggregate],
    existing: Mapping[int, Values],
    sent: Mapping[int, Collection[Values]],
    *,
    replace: bool,
) -> Plan:
    """Decide for each hour whether it is imported, is there already, or is left.

    Args:
        hours: what is known of them.
        existing: what Home Assistant has.
        sent: what was sent for them before: rows with these values are our own.
        replace: whether to replace hours that are not our own.
    """
    made = Plan()
    for hour, known in hours.items():
        wanted, found = known.values(), existing.get(hour)
        if found is not None and replace:
            wanted = _joined(wanted, found)
        if found is None:
            made.send[hour] = wanted
        elif equal(found, wanted):
            made.stored[hour] = wanted
        elif replace or any(equal(found, earlier) for earlier in sent.get(hour, ())):
            made.send[hour] = wanted
        else:
            made.left.add(hour)
    return made


def _joined(ours: Values, found: Values) -> Values:
    """Return our mean, and the extremes of both."""
    least = [value for value in (ours.least, found.least) if value is not None]
    most = [value for value in (ours.most, found.most) if value is not None]
    return Values(ours.mean, min(least, default=None), max(most, default=None))


class Destination(NamedTuple):
    """Statistics of Home Assistant: how they are described, and in which unit they are kept.

    Attributes:
        metadata: as it is sent with each import.
        conversion: from our unit.
    """

    metadata: Mapping[str, Any]
    conversion: Conversion

    @property
    def is_own(self) -> bool:
        """Whether these are statistics of healthd's own, not an entity's."""
        return self.metadata["source"] == SOURCE

    @property
    def units(self) -> dict[str, str]:
        """The unit in which values are read: without it they come in the unit that is shown."""
        unit_class, unit = self.metadata["unit_class"], self.metadata["unit_of_measurement"]
        return {} if unit_class is None else {unit_class: unit}

    def rows(self, hours: Mapping[int, Values]) -> list[dict[str, Any]]:
        """Return hours in the form in which they are sent."""
        # All three, always: an import replaces the whole row.
        return [
            {"start": utc_text(hour), **dict(zip(_KEYS, self._there(values), strict=True))}
            for hour, values in sorted(hours.items())
        ]

    def values(self, row: Mapping[str, Any]) -> Values:
        """Return what Home Assistant has of an hour."""
        found = (row.get(key) for key in _KEYS)
        return Values(*(None if value is None else self.conversion.back(value) for value in found))

    def _there(self, values: Values) -> list[float | None]:
        there = self.conversion.there
        return [None if value is None else there(value) for value in values]


def destination(
    statistic_id: str, series: Series, quantity: Quantity, stored: Mapping[str, Any] | None
) -> Destination:
    """Return how a series is imported.

    Args:
        statistic_id: ours or an entity's.
        series: what is imported.
        quantity: its unit and name.
        stored: the description that Home Assistant has (``recorder/get_statistics_metadata``);
            None if there is none.

    Raises:
        Unfit: the statistics are of another kind, or in a unit that cannot be converted.
    """
    is_own = statistic_id.startswith(f"{SOURCE}:")
    if stored is None and not is_own:
        raise Unfit("Home Assistant has no statistics of this entity yet")
    if stored is None:
        unit: str | None = quantity.unit
        unit_class, shown = quantity.unit_class, name(series, quantity)
    else:
        # Older versions of Home Assistant do not name the kind of mean.
        if stored["has_sum"] or stored.get("mean_type") != _ARITHMETIC:
            raise Unfit("its statistics are not means of a measurement")
        # An import replaces the description: another unit would reinterpret all earlier hours.
        unit = stored["statistics_unit_of_measurement"]
        unit_class, shown = stored["unit_class"], stored["name"]
    found = conversion(quantity.unit, unit)
    if found is None:
        raise Unfit(f"its statistics are kept in {unit}, to which {quantity.unit} is not converted")
    metadata = {
        "source": SOURCE if is_own else _ENTITIES,
        "statistic_id": statistic_id,
        "name": shown,
        "unit_of_measurement": unit,
        "unit_class": unit_class,
        "mean_type": _ARITHMETIC,
        "has_sum": False,
    }
    return Destination(metadata, found.after(quantity.factor))
