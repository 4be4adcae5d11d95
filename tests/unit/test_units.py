"""The table of units: complete by itself, so that a new unit is one new row."""

import re

import pytest

from healthd.mqtt.homeassistant.looks import display_for
from healthd.units import UNITS, Unit, find_unit, unit_of


def ids(unit: Unit) -> str:
    return unit.suffix or unit.ucum


@pytest.mark.parametrize("unit", UNITS, ids=ids)
def test_a_row_says_everything_that_is_needed_to_show_the_unit(unit: Unit) -> None:
    assert unit.ucum
    assert unit.symbol
    assert unit.device_class or unit.icon
    assert re.fullmatch(r"[a-z0-9_]*", unit.suffix)
    shown = display_for(unit.ucum, f"x_{unit.suffix}")
    assert shown is not None
    assert shown.unit == (unit.home_assistant or unit.symbol)


@pytest.mark.parametrize("unit", UNITS, ids=ids)
def test_only_counted_things_have_no_suffix(unit: Unit) -> None:
    # UCUM puts what is counted in braces; a metabolic equivalent is a unit of its own.
    counted = re.fullmatch(r"\{\w+\}|\[MET\]", unit.ucum)
    assert (not unit.suffix) == bool(counted)


def test_no_unit_is_listed_twice() -> None:
    suffixes = [unit.suffix for unit in UNITS if unit.suffix]
    counted = [unit.ucum for unit in UNITS if not unit.suffix]
    assert len(set(suffixes)) == len(suffixes)
    assert len(set(counted)) == len(counted)


@pytest.mark.parametrize(
    ("key", "suffix"),
    [
        ("energy_kj_per_h", "kj_per_h"),
        ("trend_mmol_per_l_per_min", "mmol_per_l_per_min"),
        ("heart_rate_bpm", "bpm"),
        ("bmi", "bmi"),
        ("product_id", None),
        ("atoms", None),
    ],
)
def test_a_key_names_the_unit_of_its_longest_suffix(key: str, suffix: str | None) -> None:
    unit = unit_of(key)
    assert (unit and unit.suffix) == suffix


def test_a_field_has_a_unit_if_its_key_and_its_code_agree() -> None:
    assert find_unit("/min", "cadence_rpm") == unit_of("x_rpm")
    assert find_unit("{steps}", "step_count") is not None
    assert find_unit("W", "speed_mps") is None
    assert find_unit("1", "product_id") is None
