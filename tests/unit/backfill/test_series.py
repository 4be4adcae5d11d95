"""Which numbers become statistics, and what they are called."""

import re

import pytest

from healthd.backfill.series import Series, kinds, name, statistic_id, unique_id
from healthd.mqtt.homeassistant.peripheral import PeripheralPayloads
from healthd.mqtt.topics import Topics
from healthd.profiles import registry
from healthd.settings.model import PeripheralSettings

KINDS = kinds(registry.load())

# Home Assistant's own rule (components/recorder/statistics.py, VALID_STATISTIC_ID, 2026.11.0).
VALID_ID = re.compile(r"^(?!.+__)(?!_)[\da-z_]+(?<!_):(?!_)[\da-z_]+(?<!_)$")


# Units and their classes: util/unit_conversion.py of Home Assistant 2026.11.0.
@pytest.mark.parametrize(
    ("kind", "key", "unit", "unit_class", "factor"),
    [
        ("heart_rate", "heart_rate_bpm", "bpm", None, 1),
        ("weight", "weight_kg", "kg", "mass", 1),
        ("body_temperature", "temperature_c", "°C", "temperature", 1),
        ("blood_pressure", "systolic_mmhg", "mmHg", None, 1),
        ("glucose", "glucose_mmol_per_l", "mmol/L", "blood_glucose_concentration", 1),
        ("cycling_power", "power_w", "W", "power", 1),
        ("pulse_oximeter", "spo2_pct", "%", None, 1),
        # As the entities: 1 m/s is 3.6 km/h, and carbohydrates are grams.
        ("indoor_bike", "speed_mps", "km/h", "speed", 3.6),
        ("glucose_context", "carbohydrate_kg", "g", "mass", 1000),
    ],
)
def test_quantities_and_their_units(
    kind: str, key: str, unit: str, unit_class: str | None, factor: float
) -> None:
    quantity = KINDS[kind].quantities[key]
    assert (quantity.unit, quantity.unit_class) == (unit, unit_class)
    assert quantity.factor == pytest.approx(factor)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("heart_rate", "energy_expended_kj"),  # a counter
        ("weight", "user_id"),  # an id
        ("treadmill", "total_distance_m"),
        ("glucose", "sequence_number"),
        ("glucose", "time_offset_s"),  # of the packet
        ("location_and_speed", "latitude_deg"),
        ("navigation", "bearing_deg"),  # the mean of 359° and 1° is not 180°
        ("fitness_machine_status", "power_w"),  # a target
    ],
)
def test_counters_ids_directions_and_targets_have_no_mean(kind: str, key: str) -> None:
    assert kind not in KINDS or key not in KINDS[kind].quantities


def test_intermediate_values_and_signals_are_left_out() -> None:
    assert not [kind for kind in KINDS if kind.startswith("intermediate_")]
    assert KINDS.keys().isdisjoint({"ecg", "acceleration", "gap", "info"})


def test_results_of_devices_with_a_clock_are_dated() -> None:
    assert KINDS["blood_pressure"].is_dated
    assert KINDS["glucose"].is_dated
    assert not KINDS["heart_rate"].is_dated
    # Its date is in UTC, and it is never stored.
    assert not KINDS["location_and_speed"].is_dated


@pytest.mark.parametrize(
    ("gateway", "series", "expected"),
    [
        (
            "gw1",
            Series("strap", "heart_rate", "heart_rate_bpm"),
            "healthd:gw1_strap_heart_rate_bpm",
        ),
        (
            "living-room",
            Series("chest-strap", "heart_rate", "heart_rate_bpm"),
            "healthd:living_room_chest_strap_heart_rate_bpm",
        ),
        (
            "gw1",
            Series("belt", "treadmill", "heart_rate_bpm"),
            "healthd:gw1_belt_treadmill_heart_rate_bpm",
        ),
        (
            "gw1",
            Series("scale", "weight", "weight_kg", "anna"),
            "healthd:gw1_scale_anna_weight_kg",
        ),
        # Legal ids of healthd's settings that are not legal in Home Assistant.
        ("a_", Series("b--c__", "weight", "weight_kg"), "healthd:a_b_c_weight_kg"),
    ],
)
def test_our_own_statistic_ids(gateway: str, series: Series, expected: str) -> None:
    assert statistic_id(gateway, series) == expected
    assert VALID_ID.match(expected)


def test_every_quantity_has_a_valid_id_of_its_own() -> None:
    ids = [
        statistic_id("gw-1", Series("a-b", kind, key, person))
        for kind, known in KINDS.items()
        for key in known.quantities
        for person in ("", "anna")
    ]
    assert len(set(ids)) == len(ids)
    assert all(VALID_ID.match(one) for one in ids)


def test_names_are_for_people() -> None:
    series = Series("chest-strap", "heart_rate", "heart_rate_bpm")
    assert name(series, KINDS["heart_rate"].quantities["heart_rate_bpm"]) == (
        "Chest strap: heart rate"
    )
    belt = Series("belt", "treadmill", "heart_rate_bpm")
    assert name(belt, KINDS["treadmill"].quantities["heart_rate_bpm"]) == (
        "Belt: heart rate (treadmill)"
    )
    anna = Series("scale", "weight", "weight_kg", "anna")
    assert name(anna, KINDS["weight"].quantities["weight_kg"]) == "Scale (anna): weight"


def test_entities_are_found_by_the_unique_ids_that_are_announced() -> None:
    payloads = PeripheralPayloads(Topics("healthd", "gw"), registry.load())
    entry = PeripheralSettings(id="my-scale", name="Scale")
    known = {"weight": ["weight_kg"], "person/anna/weight": ["weight_kg"]}
    announced = payloads.payload(entry, known, {}, ())
    ids = {component["uniq_id"] for component in announced["cmps"].values()}
    everyone = Series("my-scale", "weight", "weight_kg")
    assert {unique_id("gw", everyone), unique_id("gw", everyone._replace(person="anna"))} <= ids
