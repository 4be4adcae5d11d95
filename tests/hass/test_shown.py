"""What a person sees in Home Assistant of each device, and what not at first."""

import re
from collections.abc import Iterator

import pytest

from tests.hass import verdict
from tests.hass.settings import GATEWAY, MODELS, entries, peripheral
from tests.hass.snapshot import Entity
from tests.hass.starts import Start

# The first test waits for all starts.
pytestmark = pytest.mark.timeout(1200)

# What each device is bought for: names and units as on the displays of such devices, classes from
# https://www.home-assistant.io/integrations/sensor/#device-class. generic_health_sensor and
# physical_activity_monitor send only what healthd passes on as bytes.
MAIN = [
    ("heart_rate", "Heart rate", "bpm", None),
    ("polar_pmd", "Heart rate", "bpm", None),
    ("cycling_speed_cadence", "Speed", "km/h", "speed"),
    ("cycling_speed_cadence", "Cadence", "rpm", None),
    ("cycling_power", "Power", "W", "power"),
    ("running_speed_cadence", "Speed", "km/h", "speed"),
    ("location_navigation", "Speed", "km/h", "speed"),
    ("location_navigation", "Position", None, None),
    ("fitness_machine", "Speed", "km/h", "speed"),
    ("fitness_machine", "Power", "W", "power"),
    ("treadmill", "Speed", "km/h", "speed"),
    ("treadmill", "Inclination", "%", None),
    ("cross_trainer", "Speed", "km/h", "speed"),
    ("rower", "Stroke rate", "spm", None),
    ("stair_climber", "Floors", "floors", None),
    ("step_climber", "Floors", "floors", None),
    ("health_thermometer", "Temperature", "°C", "temperature"),
    ("blood_pressure", "Systolic pressure", "mmHg", None),
    ("blood_pressure", "Diastolic pressure", "mmHg", None),
    ("weight_scale", "Weight", "kg", "weight"),
    ("body_composition", "Body fat", "%", None),
    ("user_scale", "Weight", "kg", "weight"),
    ("glucose", "Glucose", "mmol/L", "blood_glucose_concentration"),
    ("continuous_glucose", "Glucose", "mmol/L", "blood_glucose_concentration"),
    ("pulse_oximeter", "SpO2", "%", None),
    ("core", "Core temperature", "°C", "temperature"),
    ("core", "Skin temperature", "°C", "temperature"),
    ("yonker", "Systolic pressure", "mmHg", None),
    ("omron", "Systolic pressure", "mmHg", None),
    ("omron_modern", "Diastolic pressure", "mmHg", None),
    ("qardio", "Systolic pressure", "mmHg", None),
    ("pm5", "Pace", "s/500 m", None),
    ("pm5", "Stroke rate", "spm", None),
    ("pm5", "Power", "W", "power"),
    ("fec", "Power", "W", "power"),
    ("fec", "Cadence", "rpm", None),
    ("kickr", "Power", "W", "power"),
    ("o2ring", "SpO2", "%", None),
    ("o2ring", "Pulse rate", "bpm", None),
    ("contec", "SpO2", "%", None),
    ("jumper", "SpO2", "%", None),
    ("nonin", "SpO2", "%", None),
    ("mi_scale", "Weight", "kg", "weight"),
    ("mi_body_scale", "Weight", "kg", "weight"),
    ("okok", "Weight", "kg", "weight"),
    ("mi_band", "Heart rate", "bpm", None),
    ("polar_broadcast", "Heart rate", "bpm", None),
    ("keiser", "Power", "W", "power"),
    ("keiser", "Cadence", "rpm", None),
    ("core_broadcast", "Core temperature", "°C", "temperature"),
    ("bthome", "Temperature", "°C", "temperature"),
]

# Counters without a meaning of their own, and what another entity says as well.
RAW = re.compile(r"cumulative_|_raw\b|window_s|rejected|_reference\b|energy_per_min|average_")


def entities(start: Start) -> Iterator[Entity]:
    yield from start.snapshot.entities.values()


def names(wrong: list[Entity]) -> list[str]:
    return [one.id for one in wrong]


@pytest.mark.parametrize(("model", "name", "unit", "device_class"), MAIN)
def test_a_device_shows_what_it_is_bought_for(
    starts: list[Start], model: str, name: str, unit: str | None, device_class: str | None
) -> None:
    device = f"{GATEWAY}_{peripheral(model)}"
    (found,) = [one for one in entities(starts[0]) if (one.device, one.name) == (device, name)]
    assert found.is_on_dashboard
    assert found.attributes.get("unit_of_measurement") == unit
    assert found.attributes.get("device_class") == device_class


def test_a_location_pod_is_on_the_map(starts: list[Start]) -> None:
    (tracker,) = [one for one in entities(starts[0]) if one.config["p"] == "device_tracker"]
    assert tracker.device == f"{GATEWAY}_location-navigation"
    assert tracker.attributes["source_type"] == "gps"
    assert -90 <= tracker.attributes["latitude"] <= 90
    assert -180 <= tracker.attributes["longitude"] <= 180


def test_intermediate_values_are_disabled_at_first(starts: list[Start]) -> None:
    found = [one for one in entities(starts[0]) if "intermediate_" in one.id]
    assert len(found) >= 2, "a thermometer and a cuff have some"
    assert names([one for one in found if one.is_enabled]) == []


def test_raw_counters_and_repeated_values_are_not_on_the_dashboard(starts: list[Start]) -> None:
    found = [
        one
        for one in entities(starts[0])
        if one.is_on_dashboard and RAW.search(one.config.get("val_tpl", ""))
    ]
    assert names(found) == []


def test_buttons_are_not_on_the_dashboard(starts: list[Start]) -> None:
    found = [one for one in entities(starts[0]) if one.config["p"] == "button"]
    assert {"start", "stop", "fetch", "reset_energy_expended"} <= {
        one.id.partition("_request_")[2] for one in found
    }
    assert names([one for one in found if one.is_on_dashboard]) == []


def test_names_are_unique_on_a_device_and_say_nothing_twice(starts: list[Start]) -> None:
    assert [verdict.wrong_names(start.snapshot) for start in starts] == [[]] * len(starts)


def test_a_device_has_one_battery(starts: list[Start]) -> None:
    batteries = [
        one.device
        for one in entities(starts[0])
        if one.is_enabled and one.attributes.get("device_class") == "battery"
    ]
    assert batteries
    assert len(batteries) == len(set(batteries))


def test_doses_are_in_grams_and_milligrams(starts: list[Start]) -> None:
    doses = {
        one.name: one.attributes.get("unit_of_measurement")
        for one in entities(starts[0])
        if one.device == f"{GATEWAY}_glucose" and "mass" in one.name and one.is_enabled
    }
    assert doses
    assert set(doses.values()) <= {"g", "mg"}


def test_entities_without_a_class_of_their_own_have_an_icon(starts: list[Start]) -> None:
    found = [
        one
        for one in entities(starts[0])
        if one.state is not None
        and one.attributes.get("device_class") in (None, "enum")
        and one.config["p"] != "number"
    ]
    assert names([one for one in found if not one.attributes.get("icon")]) == []


def test_the_gateway_counts_the_peripherals_that_stream(starts: list[Start]) -> None:
    for start in starts:
        (streaming,) = [
            one for one in entities(start) if one.id.endswith(f"_{GATEWAY}_peripherals_streaming")
        ]
        # All but the periodic ones, which are linked for a few seconds at a time.
        periodic = [entry for entry in entries().values() if "every" in entry or "on" in entry]
        assert len(MODELS) - len(periodic) <= int(streaming.value or 0) <= len(MODELS)
