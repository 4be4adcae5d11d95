"""``[[people]]``: who uses the devices; checks that need other keys are here, too."""

from collections.abc import Iterator
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field

from healthd.settings.problems import Problem, one_of
from healthd.settings.values import Slug, User, number_between

WeightKg = Annotated[float, number_between(2, 500, "a weight in kg")]
# A wider one would take in nearly every adult.
ToleranceKg = Annotated[float, number_between(0.1, 20, "a weight in kg")]
# From hand-held analysers of children to foot-to-foot ones of heavy adults.
ImpedanceOhm = Annotated[float, number_between(50, 2000, "an impedance in ohm")]


class PersonSettings(BaseModel):
    """One ``[[people]]`` entry: how results of this person are recognised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Slug
    weight_kg: WeightKg | None = None
    # Six times the variation from one day to the next, which is about 0.5 kg.
    tolerance_kg: ToleranceKg = 3.0
    impedance_ohm: ImpedanceOhm | None = None
    users: dict[str, User] = Field(default_factory=dict[str, User])


def people_checks(source: str, raw: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with people in relation to each other and to the peripherals.

    Args:
        source: the file.
        raw: the settings as parsed, so that it works despite other errors.
    """
    people = list(_tables(raw, "people"))
    peripherals = [str(entry["id"]) for _, entry in _tables(raw, "peripherals") if "id" in entry]
    ids: set[str] = set()
    taken: set[tuple[str, int]] = set()
    for place, person in people:
        if "weight_kg" not in person and not person.get("users"):
            expected = "weight_kg, or users with the numbers that devices gave to this person"
            yield Problem(source, place, "neither weight_kg nor users", expected)
        for key in ("tolerance_kg", "impedance_ohm"):
            if key in person and "weight_kg" not in person:
                yield Problem(source, f"{place}.{key}", "no weight_kg", "weight_kg as well")
        if isinstance(id_ := person.get("id"), str):
            if id_ in ids:
                expected = "an id that no other person has"
                yield Problem(source, f"{place}.id", "the id of another person", expected)
            ids.add(id_)
        for peripheral, number in _users(person):
            key = f"{place}.users.{peripheral}"
            if peripheral not in peripherals:
                known = one_of(peripheral, sorted(peripherals)) if peripherals else "none yet"
                expected = f"the id of an entry of [[peripherals]]: {known}"
                yield Problem(source, key, repr(peripheral), expected)
            if (peripheral, number) in taken:
                expected = "a number that no other person has on this device"
                yield Problem(source, key, repr(number), expected)
            taken.add((peripheral, number))


def without_private(value: object) -> str:
    """Return what kind of value it is: names and weights are not logged, even if they are wrong."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case dict():
            return "a table"
        case _:
            return "another value"


def _tables(raw: dict[str, Any], section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    entries = raw.get(section)
    if isinstance(entries, list):
        for index, entry in enumerate(cast("list[object]", entries)):
            if isinstance(entry, dict):
                yield f"{section}[{index}]", cast("dict[str, Any]", entry)


def _users(person: dict[str, Any]) -> Iterator[tuple[str, int]]:
    users = person.get("users")
    if isinstance(users, dict):
        for peripheral, number in cast("dict[str, object]", users).items():
            if isinstance(number, int):
                yield peripheral, number
