"""What is wrong with the entities of a snapshot, each in a line of text."""

import re
from collections import Counter
from collections.abc import Iterator

from tests.hass.snapshot import Entity, Snapshot
from tests.support.hass_states import UNKNOWN

_UNKNOWN = ("unknown", "unavailable")

# Without a state until a person uses them.
_CONTROLS = ("button", "number")

# Home Assistant and the test get messages at slightly different times.
_NEWEST = 10

# A location has seven decimals, more than any other measurement.
_MOST_DECIMALS = 7


def missing(snapshot: Snapshot) -> list[str]:
    """Return the announced entities that Home Assistant does not have, and those without a state.

    An entity that is disabled has no state.
    """
    return [
        one.id
        for one in snapshot.entities.values()
        if one.row is None or (one.is_enabled and one.state is None)
    ]


def unknown(snapshot: Snapshot) -> list[str]:
    """Return the entities without a value, unless the device says that it has none.

    One that was announced and then got no message is among them.
    """
    return [
        f"{one.id} is {one.value}"
        for one in snapshot.entities.values()
        if one.value in _UNKNOWN and not _has_no_value(one)
    ]


def without_value(snapshot: Snapshot) -> list[str]:
    """Return the entities whose device says that it has no value for them."""
    return [
        one.id
        for one in snapshot.entities.values()
        if one.value == "unknown" and one.config["p"] not in _CONTROLS and _has_no_value(one)
    ]


def _has_no_value(entity: Entity) -> bool:
    if entity.value == "unavailable":
        return False
    if not entity.published:
        return entity.config["p"] in _CONTROLS
    return entity.published[-1] is UNKNOWN


def wrong_ids(snapshot: Snapshot) -> list[str]:
    """Return the entities with another id than the announced one, such as ``…_2``."""
    return [
        f"{one.row['entity_id']} instead of {one.config['def_ent_id']}"
        for one in snapshot.entities.values()
        if one.row is not None and one.row["entity_id"] != one.config["def_ent_id"]
    ]


def wrong_names(snapshot: Snapshot) -> list[str]:
    """Return names that two entities of a device share, and those that say a word twice."""
    times = Counter((one.device, one.name) for one in snapshot.entities.values())
    twice = [
        f"{device} has {count} times {name}" for (device, name), count in times.items() if count > 1
    ]
    doubled = [
        f"{one.device} has {one.name}"
        for one in snapshot.entities.values()
        if _says_it_twice(one.name)
    ]
    return twice + doubled


def _says_it_twice(name: str) -> bool:
    words = re.findall(r"[a-z]+", name.lower())
    return len(words) != len(set(words))


def long_numbers(snapshot: Snapshot) -> list[str]:
    """Return the states with more decimals than a device measures."""
    return [
        f"{one.id} is {one.value}"
        for one in snapshot.entities.values()
        if re.fullmatch(rf"-?\d+\.\d{{{_MOST_DECIMALS + 1},}}", one.value or "")
    ]


def wrong_options(snapshot: Snapshot) -> list[str]:
    """Return the words that are not one of the entity's options, and those without options."""
    return [*_wrong_options(snapshot)]


def _wrong_options(snapshot: Snapshot) -> Iterator[str]:
    for one in snapshot.entities.values():
        if one.config["p"] != "sensor" or one.value in (None, *_UNKNOWN):
            continue
        is_word = isinstance(one.published[-1], str) and one.config.get("dev_cla") != "timestamp"
        if is_word and one.value not in one.attributes.get("options", ()):
            yield f"{one.id} is {one.value}, not one of {one.attributes.get('options')}"


def wrong_values(snapshot: Snapshot) -> list[str]:
    """Return the states that none of the newest messages has."""
    return [
        f"{one.id} is {one.value}, published {one.published[-_NEWEST:]}"
        for one in snapshot.entities.values()
        if one.value not in (None, *_UNKNOWN)
        and one.config["p"] != "button"
        and not _is_published(one)
    ]


def _is_published(entity: Entity) -> bool:
    if entity.attributes.get("unit_of_measurement") != entity.config.get("unit_of_meas"):
        return True  # converted to the unit that the person prefers
    newest = entity.published[-_NEWEST:]
    if entity.config["p"] == "device_tracker":
        return (entity.attributes["latitude"], entity.attributes["longitude"]) in newest
    if entity.config["p"] == "binary_sensor":
        return (entity.value == "on") in newest
    if any(isinstance(one, float) for one in newest):
        return float(entity.value or "nan") in newest
    return entity.config.get("dev_cla") == "timestamp" or entity.value in newest
