"""Announcements of everything that is measured, checked by Home Assistant's rules."""

import re
from collections.abc import Mapping
from typing import Any, cast

import jinja2
import orjson
import pytest

from healthd.mqtt.homeassistant import looks
from healthd.mqtt.homeassistant.fields import shown
from healthd.mqtt.homeassistant.gateway import gateway_payload
from healthd.mqtt.payloads import DeviceAnnouncement
from healthd.verbs import REQUESTS
from tests.support.hass_rules import complaints_of_all
from tests.unit.mqtt.homeassistant.homes import (
    LIMITS,
    MODELS,
    RANGES,
    TOPICS,
    all_keys,
    entry,
    everything,
    of_peripheral,
)

FIELDS = [(kind, key) for kind, model in MODELS.items() for key in model.model_fields]
GATEWAY_ALONE = [{"t": "healthd/living-room/status"}]

# Never an entity: lists and frames, texts, and nested objects.
NO_ENTITY = re.compile(
    r"heart_rate\.rr_.*|(ecg|ppg|acceleration|gyroscope|magnetometer|pressure|temperature"
    r"|skin_temperature|pp_interval|pmd)\..*|.*\.((device|base)_time|value_hex|experimental)"
)


def cmps(*kinds: str, **settings: Any) -> dict[str, Any]:
    return of_peripheral(all_keys(*kinds), entry(**settings), RANGES)["cmps"]


@pytest.mark.parametrize("requests", [(), tuple(REQUESTS)], ids=["no requests", "all requests"])
def test_home_assistant_accepts_every_payload(requests: tuple[str, ...]) -> None:
    payloads = everything(requests)
    assert len(payloads) == 6
    assert complaints_of_all(payloads) == []
    for payload in payloads.values():
        encoded = DeviceAnnouncement.of(payload).encoded()
        assert orjson.loads(encoded) == payload


@pytest.mark.parametrize("kind", MODELS)
def test_home_assistant_accepts_each_stream_alone(kind: str) -> None:
    payload = of_peripheral(all_keys(kind))
    payloads = {
        TOPICS.announcement("homeassistant", "bike"): payload,
        TOPICS.announcement("homeassistant"): gateway_payload(TOPICS, ()),
    }
    assert complaints_of_all(payloads) == []
    names = [one["name"] for one in payload["cmps"].values()]
    assert len(set(names)) == len(names)


def test_every_number_has_a_known_unit() -> None:
    numbers = [
        (key, str(cast("dict[str, Any]", MODELS[kind].model_fields[key].json_schema_extra)["unit"]))
        for kind, key in FIELDS
        if (found := shown(MODELS[kind], key)) and "sug_dsp_prc" in found.config
    ]
    assert len(numbers) > 100
    assert [(key, unit) for key, unit in numbers if looks.display_for(unit, key) is None] == []


def test_only_numbers_words_and_booleans_are_entities() -> None:
    entities = {f"{kind}.{key}" for kind, key in FIELDS if shown(MODELS[kind], key)}
    assert not [one for one in entities if NO_ENTITY.fullmatch(one)]
    hidden = {f"{kind}.{key}" for kind, key in FIELDS} - entities
    left = {one for one in hidden if not NO_ENTITY.fullmatch(one)}
    assert {key for one in left if looks.is_shown(key := one.partition(".")[2])} == {
        # lists
        "fault",
        "status",
        "measurement_status",
        "device_status",
        "forces_n",
        "torques_nm",
        "zone_times_s",
        "records",
        # dates, and free text
        "start_time",
        "arrival_time",
        "string",
    }


def test_no_key_hides_an_attribute_in_a_template() -> None:
    """``value_json.items`` would be the dictionary's method."""
    assert not [key for _, key in FIELDS if hasattr({}, key)]


@pytest.mark.parametrize(
    ("kind", "key", "expected"),
    [
        (
            "heart_rate",
            "heart_rate_bpm",
            {"p": "sensor", "name": "Heart rate", "unit_of_meas": "bpm", "stat_cla": "measurement"},
        ),
        (
            "heart_rate",
            "energy_expended_kj",
            {"unit_of_meas": "kJ", "dev_cla": "energy", "stat_cla": "total_increasing"},
        ),
        (
            "heart_rate",
            "sensor_contact_detected",
            {"p": "binary_sensor", "name": "Sensor contact", "pl_on": "True", "pl_off": "False"},
        ),
        ("indoor_bike", "speed_mps", {"name": "Speed", "unit_of_meas": "m/s", "dev_cla": "speed"}),
        ("indoor_bike", "power_w", {"unit_of_meas": "W", "dev_cla": "power", "sug_dsp_prc": 0}),
        (
            "indoor_bike",
            "total_distance_m",
            {"unit_of_meas": "m", "dev_cla": "distance", "stat_cla": "total_increasing"},
        ),
        ("indoor_bike", "elapsed_time_s", {"unit_of_meas": "s", "dev_cla": "duration"}),
        ("rower", "stroke_rate_spm", {"unit_of_meas": "spm", "name": "Stroke rate"}),
        ("weight", "weight_kg", {"unit_of_meas": "kg", "dev_cla": "weight", "sug_dsp_prc": 2}),
        ("weight", "bmi", {"name": "BMI", "unit_of_meas": "kg/m²"}),
        ("body_temperature", "temperature_c", {"unit_of_meas": "°C", "dev_cla": "temperature"}),
        ("blood_pressure", "systolic_mmhg", {"unit_of_meas": "mmHg", "name": "Systolic pressure"}),
        (
            "glucose",
            "glucose_mmol_per_l",
            {"unit_of_meas": "mmol/L", "dev_cla": "blood_glucose_concentration"},
        ),
        (
            "battery",
            "level_pct",
            {"name": "Battery", "dev_cla": "battery", "ent_cat": "diagnostic"},
        ),
        (
            "battery_level_status",
            "charge_level",
            {"dev_cla": "enum", "ops": ["unknown", "good", "low", "critical"]},
        ),
        ("pulse_oximeter", "spo2_pct", {"name": "SpO2", "unit_of_meas": "%"}),
        ("fitness_machine_status", "power_w", {"name": "Target power"}),
        ("training_status", "status", {"name": "Training status"}),
    ],
)
def test_an_entity(kind: str, key: str, expected: dict[str, Any]) -> None:
    found = cmps(kind)[f"{kind}_{key}"]
    assert found | expected == found
    assert found["uniq_id"] == f"healthd_living-room_bike_{kind}_{key}"
    assert found["stat_t"] == f"healthd/living-room/device/bike/{kind}"


def test_a_word_that_may_be_a_number_has_no_fixed_options() -> None:
    found = cmps("body_temperature")["body_temperature_temperature_type"]
    assert "ops" not in found
    assert "dev_cla" not in found


def test_only_keys_that_were_seen_have_entities() -> None:
    found = of_peripheral({"heart_rate": ["heart_rate_bpm", "truncated"], "unknown": ["x_bpm"]})
    assert found["cmps"].keys() == {"status", "link_state", "heart_rate_heart_rate_bpm"}


def test_a_name_that_two_streams_share_includes_the_stream() -> None:
    alone = of_peripheral({"heart_rate": ["heart_rate_bpm"]})["cmps"]
    assert alone["heart_rate_heart_rate_bpm"]["name"] == "Heart rate"
    both = of_peripheral(
        {"heart_rate": ["heart_rate_bpm"], "indoor_bike": ["heart_rate_bpm", "speed_mps"]}
    )["cmps"]
    assert both["heart_rate_heart_rate_bpm"]["name"] == "Heart rate (heart rate)"
    assert both["indoor_bike_heart_rate_bpm"]["name"] == "Heart rate (indoor bike)"
    assert both["indoor_bike_speed_mps"]["name"] == "Speed"
    ids = [one["uniq_id"] for one in alone.values()]
    assert set(ids) < {one["uniq_id"] for one in both.values()}


# Availability and expiry


def test_a_stream_is_available_with_gateway_and_link_and_expires() -> None:
    payload = of_peripheral(all_keys("heart_rate"))
    assert payload["avty"] == [
        {"t": "healthd/living-room/status"},
        {"t": "healthd/living-room/device/bike/status"},
    ]
    assert payload["avty_mode"] == "all"
    found = payload["cmps"]["heart_rate_heart_rate_bpm"]
    assert "avty" not in found
    assert found["exp_aft"] == 60


@pytest.mark.parametrize("kind", ["weight", "blood_pressure", "glucose", "battery"])
@pytest.mark.parametrize("settings", [{}, {"every": "15min"}], ids=["continuous", "periodic"])
def test_a_result_is_available_with_the_gateway_and_does_not_expire(
    kind: str, settings: dict[str, Any]
) -> None:
    found = [one for id_, one in cmps(kind, **settings).items() if id_.startswith(f"{kind}_")]
    assert found
    for one in found:
        assert one["avty"] == GATEWAY_ALONE
        assert "exp_aft" not in one


@pytest.mark.parametrize(
    ("kind", "settings", "expires_s"),
    [
        ("heart_rate", {"silence": "2min"}, 240),
        ("indoor_bike", {}, 60),
        ("cgm", {}, 900),
        ("heart_rate_variability", {"hrv": "5min"}, 600),
        ("training_status", {}, None),
        ("fitness_machine_status", {}, None),
        ("cgm", {"on": "advertising"}, 900),
    ],
)
def test_when_a_stream_expires(kind: str, settings: dict[str, Any], expires_s: int | None) -> None:
    found = [one for id_, one in cmps(kind, **settings).items() if id_.startswith(f"{kind}_")]
    assert found
    assert {one.get("exp_aft") for one in found} == {expires_s}
    assert not any("avty" in one for one in found)


@pytest.mark.parametrize(
    ("settings", "expires_s"),
    [
        ({"every": "15min"}, 1920),
        ({"every": "15min", "window": "30s"}, 1830),
        ({"every": ["08:00", "20:00"]}, 172_920),
    ],
)
def test_values_of_a_run_stay_valid_until_the_next_runs(
    settings: dict[str, Any], expires_s: int
) -> None:
    found = cmps("heart_rate", **settings)["heart_rate_heart_rate_bpm"]
    assert found["avty"] == GATEWAY_ALONE
    assert found["exp_aft"] == expires_s


def test_entities_of_the_link_are_available_without_a_link() -> None:
    for one in of_peripheral({}, entry(every="15min"))["cmps"].values():
        assert one["avty"] == GATEWAY_ALONE
        assert one["ent_cat"] == "diagnostic"


def test_a_periodic_peripheral_has_entities_for_its_runs() -> None:
    assert cmps(every="15min").keys() >= {"fetch_outcome", "fetch_next_due"}
    assert "fetch_next_due" not in cmps(on="advertising")
    assert "fetch_outcome" not in cmps()


# Identity


def test_a_device_is_described_by_its_facts() -> None:
    facts = {
        "name": "Polar H10",
        "maker": "Polar",
        "model": "H10",
        "firmware": "5.0",
        "serial": "7",
    }
    payload = of_peripheral({}, entry("chest-strap"), facts)
    assert payload["dev"] == {
        "ids": ["healthd_living-room_chest-strap"],
        "name": "Polar H10",
        "mf": "Polar",
        "mdl": "H10",
        "sw": "5.0",
        "via_device": "healthd_living-room",
    }
    assert payload["o"].keys() == {"name", "sw"}


def test_a_device_without_facts_is_named_after_its_id() -> None:
    payload = of_peripheral({}, entry("chest-strap"), {"name": None, "maker": None})
    assert payload["dev"].keys() == {"ids", "name", "via_device"}
    assert payload["dev"]["name"] == "Chest strap"


def test_entities_keep_their_ids_when_the_device_gets_another_name() -> None:
    before = of_peripheral(all_keys("heart_rate"))["cmps"]
    after = of_peripheral(all_keys("heart_rate"), facts={"name": "Other"})["cmps"]
    assert before == after


# Gateway


def test_the_gateways_status_is_always_available() -> None:
    payload = gateway_payload(TOPICS, ())
    assert "avty" not in payload
    status = payload["cmps"].pop("status")
    assert "avty" not in status
    assert status["stat_t"] == "healthd/living-room/status"
    for one in payload["cmps"].values():
        assert (one["avty"], one["stat_t"]) == (GATEWAY_ALONE, "healthd/living-room/health")
        assert (one["exp_aft"], one["ent_cat"]) == (180, "diagnostic")


HEALTH: dict[str, Any] = {
    "time": "2026-11-28T20:00:00.000000Z",
    "uptime_s": 90,
    "resident_bytes": 41_234_567,
    "open_files": 30,
    "links": {"searching": 1},
    "radio": {"scan_s": 1.0, "linked_s": {}},
    "outbox": {
        "state": "ok",
        "in_memory": 2,
        "on_disk": 40,
        "payload_bytes": 8000,
        "age_s": 12.5,
        "evicted": 0,
        "streams": {},
        "parked": ["healthd/x"],
    },
}


@pytest.mark.parametrize(
    ("id_", "state"),
    [
        ("peripherals_streaming", "0"),
        ("outbox_depth", "42"),
        ("outbox_age", "12.5"),
        ("outbox_evicted", "0"),
        ("topics_parked", "1"),
        ("memory", "41.2"),
        ("open_files", "30"),
        ("uptime", "90"),
        ("outbox_state", "ok"),
    ],
)
def test_counters_of_the_gateway(id_: str, state: str) -> None:
    template = gateway_payload(TOPICS, ())["cmps"][id_]["val_tpl"]
    assert jinja2.Template(template).render(value_json=HEALTH) == state


def test_states_of_a_periodic_peripherals_runs() -> None:
    found = cmps(every="15min")
    fetch = {"outcome": "no_data", "next_due": "2026-11-28T20:00:00.000000Z"}
    for key in fetch:
        template = jinja2.Template(found[f"fetch_{key}"]["val_tpl"])
        assert template.render(value_json={"state": "waiting", "fetch": fetch}) == fetch[key]
        assert template.render(value_json={"state": "searching"}) == "None"


# Requests


def test_there_are_no_controls_unless_requests_are_allowed() -> None:
    payload = of_peripheral(all_keys(), entry(), RANGES)
    assert {one["p"] for one in payload["cmps"].values()} == {"sensor", "binary_sensor"}
    assert {one["p"] for one in gateway_payload(TOPICS, ())["cmps"].values()} == {
        "sensor",
        "binary_sensor",
    }


def controls(**kwargs: Any) -> dict[str, Any]:
    payload = of_peripheral(requests=REQUESTS, **kwargs)
    return {id_: one for id_, one in payload["cmps"].items() if id_.startswith("request_")}


def test_the_controls_of_each_device() -> None:
    assert controls(known={}).keys() == {"request_reconnect"}
    for way in ({"every": "15min"}, {"on": "advertising"}):
        found = controls(known=all_keys("heart_rate"), settings=entry(**way), facts=RANGES)
        assert found.keys() == {"request_fetch"}
    strap = controls(known={"heart_rate": ["heart_rate_bpm", "energy_expended_kj"]})
    assert strap.keys() == {"request_reconnect", "request_reset_energy_expended"}
    bike = controls(known={}, facts=RANGES)
    assert bike.keys() == {
        "request_reconnect",
        "request_start",
        "request_stop",
        "request_set_target_power",
        "request_set_target_resistance",
    }
    machine = controls(known={}, facts=RANGES, settings=entry(**LIMITS))
    assert machine.keys() == {
        "request_reconnect",
        "request_start",
        "request_stop",
        "request_set_target_power",
        "request_set_target_resistance",
        "request_set_target_speed",
        "request_set_target_inclination",
    }
    controllable = {"fitness_machine_feature": {"target_settings": ["training_time"]}}
    assert controls(known={}, facts=controllable).keys() >= {"request_start", "request_stop"}
    uncontrollable: dict[str, Any] = {"fitness_machine_feature": {"target_settings": []}}
    assert controls(known={}, facts=uncontrollable).keys() == {"request_reconnect"}


def test_a_button_sends_the_request() -> None:
    for id_, control in controls(known={}, facts=RANGES).items():
        verb = id_.removeprefix("request_")
        assert control["cmd_t"] == f"healthd/living-room/request/{verb}"
        if control["p"] == "button":
            request = REQUESTS[verb].model_validate_json(control["pl_prs"])
            assert request.model_dump(exclude_unset=True) == {"peripheral": "bike"}
    scan = gateway_payload(TOPICS, ["scan"])["cmps"]["request_scan"]
    assert REQUESTS["scan"].model_validate_json(scan["pl_prs"]) == REQUESTS["scan"]()


@pytest.mark.parametrize(
    ("verb", "key", "value", "sent"),
    [
        ("set_target_power", "power_w", 150, 150),
        ("set_target_power", "power_w", 150.0, 150),
        ("set_target_resistance", "resistance_level", 7.5, 7.5),
        ("set_target_speed", "speed_mps", 2.778, 2.778),
        ("set_target_speed", "speed_mps", 3, 3.0),
        ("set_target_inclination", "inclination_pct", -1.5, -1.5),
    ],
)
def test_a_number_sends_the_request(verb: str, key: str, value: float, sent: float) -> None:
    control = controls(known={}, facts=RANGES, settings=entry(**LIMITS))[f"request_{verb}"]
    payload = jinja2.Template(control["cmd_tpl"]).render(value=value)
    request = REQUESTS[verb].model_validate_json(payload)
    assert request.model_dump(exclude_unset=True) == {"peripheral": "bike", key: sent}


def limits(facts: Mapping[str, Any], **settings: Any) -> dict[str, tuple[float, float, float]]:
    return {
        id_.removeprefix("request_set_target_"): (control["min"], control["max"], control["step"])
        for id_, control in controls(known={}, facts=facts, settings=entry(**settings)).items()
        if control["p"] == "number"
    }


def test_a_number_is_within_the_machines_own_range_and_the_settings_limits() -> None:
    assert limits(RANGES) == {"power": (25, 800, 5), "resistance": (1.0, 20.0, 1.0)}
    assert limits(RANGES, **LIMITS) == {
        "power": (25, 400, 5),
        "resistance": (1.0, 20.0, 1.0),
        "speed": (0.223, 3.0, 0.028),
        "inclination": (0.0, 6.04, 0.5),
    }
    assert limits({}, **LIMITS) == {
        "power": (0.0, 400.0, 1),
        "speed": (0.0, 3.0, 0.01),
        "inclination": (0.0, 6.04, 0.5),
    }
    assert "power" not in limits(RANGES, control={"power_w": [900, 1000]})


def test_a_belt_has_a_start_button_only_with_limits() -> None:
    treadmill = all_keys("treadmill")
    found = controls(known=treadmill, facts=RANGES)
    assert "request_stop" in found
    assert "request_start" not in found
    found = controls(known=treadmill, facts=RANGES, settings=entry(control={"speed_mps": [0, 3]}))
    assert "request_start" in found


@pytest.mark.parametrize(
    "range_",
    [{"min_w": 25}, {"min_w": 25, "max_w": None}, {"min_w": 0, "max_w": 0, "increment_w": 1}],
)
def test_a_machine_without_a_range_has_no_number(range_: dict[str, Any]) -> None:
    found = controls(known={}, facts={"supported_power_range": range_})
    assert "request_set_target_power" not in found


def test_a_number_shows_the_target_that_the_machine_reports() -> None:
    power = controls(known={}, facts=RANGES)["request_set_target_power"]
    assert power["stat_t"] == "healthd/living-room/device/bike/fitness_machine_status"
    template = jinja2.Template(power["val_tpl"])
    assert template.render(value_json={"name": "target_power_changed", "power_w": 200}) == "200"
    assert template.render(value_json={"name": "stopped_or_paused_by_user"}) == ""
    assert power["opt"] is True
