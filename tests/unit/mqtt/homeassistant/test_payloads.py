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
from tests.support.hass_states import state
from tests.unit.mqtt.homeassistant.homes import (
    LIMITS,
    MODELS,
    RANGES,
    REGISTRY,
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
    assert len(payloads) == 7
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
        "calibration_needed",
        "modes",
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
        "person",
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
            {"unit_of_meas": "kcal", "dev_cla": "energy", "stat_cla": "total_increasing"},
        ),
        (
            "heart_rate",
            "sensor_contact_detected",
            {"p": "binary_sensor", "name": "Sensor contact", "pl_on": "True", "pl_off": "False"},
        ),
        ("indoor_bike", "speed_mps", {"name": "Speed", "unit_of_meas": "km/h", "dev_cla": "speed"}),
        ("indoor_bike", "power_w", {"unit_of_meas": "W", "dev_cla": "power", "sug_dsp_prc": 0}),
        (
            "indoor_bike",
            "total_distance_m",
            {"unit_of_meas": "km", "dev_cla": "distance", "stat_cla": "total_increasing"},
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
        ("glucose_context", "medication_kg", {"unit_of_meas": "mg", "dev_cla": "weight"}),
        ("glucose_context", "medication_l", {"unit_of_meas": "mL"}),
        ("glucose_context", "carbohydrate_kg", {"unit_of_meas": "g", "dev_cla": "weight"}),
        ("body_composition", "basal_metabolism_kj", {"unit_of_meas": "kcal"}),
        ("running_speed_cadence", "running", {"p": "binary_sensor", "ic": "mdi:run"}),
    ],
)
def test_an_entity(kind: str, key: str, expected: dict[str, Any]) -> None:
    found = cmps(kind)[f"{kind}_{key}"]
    assert found | expected == found
    assert found["uniq_id"] == f"healthd_living-room_bike_{kind}_{key}"
    assert found["stat_t"] == f"healthd/living-room/device/bike/{kind}"


def test_a_code_without_a_word_is_an_option_too() -> None:
    """Home Assistant logs a state that is not an option."""
    found = cmps("body_temperature")["body_temperature_temperature_type"]
    assert found["dev_cla"] == "enum"
    assert found["ops"][-1] == "reserved"
    assert state(found, b'{"temperature_type": "body"}') == "body"
    assert state(found, b'{"temperature_type": 200}') == "reserved"
    assert state(found, b'{"temperature_type": null}') is None
    assert state(found, b"{}") is None


def test_only_keys_that_were_seen_have_entities() -> None:
    found = of_peripheral({"heart_rate": ["heart_rate_bpm", "truncated"], "unknown": ["x_bpm"]})
    assert found["cmps"].keys() == {"status", "link_state", "heart_rate_heart_rate_bpm"}


# States


def test_a_state_that_is_sent_once_is_read_from_the_devices_info() -> None:
    """Its own topic is not retained, and Home Assistant knows the entity only after the message."""
    found = cmps("training_status", "position_quality", "fitness_machine_status")
    target = found["fitness_machine_status_power_w"]
    assert (target["name"], target["en"]) == ("Reported target power", False)
    info = orjson.dumps({"fitness_machine_status": {"name": "reset", "opcode": 1}})
    assert state(found["fitness_machine_status_name"], info) == "reset"
    where = "healthd/living-room/device/bike/info"
    training, hdop = found["training_status_status"], found["position_quality_hdop"]
    assert training["name"] == "Training status"
    assert (training["stat_t"], hdop["stat_t"]) == (where, where)
    info = orjson.dumps({"state": "streaming", "training_status": {"status": "warming_up"}})
    assert state(training, info) == "warming up"
    assert state(hdop, info, 1.5) == 1.5
    info = orjson.dumps({"state": "streaming", "position_quality": {"hdop": 0.8}})
    assert state(hdop, info) == 0.8
    assert state(training, info) is None


def test_a_retained_state_is_read_from_its_own_topic() -> None:
    assert cmps("battery")["battery_level_pct"]["stat_t"].endswith("/bike/battery")


@pytest.mark.parametrize("requests", [(), tuple(REQUESTS)], ids=["no requests", "all requests"])
def test_an_empty_message_that_clears_a_topic_is_no_error(requests: tuple[str, ...]) -> None:
    """healthd clears the topics of a peripheral before Home Assistant has removed its entities."""
    for payload in everything(requests).values():
        for one in payload["cmps"].values():
            if "val_tpl" in one or "json_attr_tpl" in one:
                assert state(one, b"", 5.0) in (5.0, None)


# Names


def test_the_plain_name_belongs_to_one_kind_of_a_profile_whichever_sends_first() -> None:
    intermediate = of_peripheral(all_keys("intermediate_temperature"))["cmps"]
    both = of_peripheral(all_keys("body_temperature", "intermediate_temperature"))["cmps"]
    alone = of_peripheral(all_keys("body_temperature"))["cmps"]
    assert both == alone | intermediate
    name = "Temperature (intermediate)"
    assert both["intermediate_temperature_temperature_c"]["name"] == name
    assert alone["body_temperature_temperature_c"]["name"] == "Temperature"
    assert alone["body_temperature_temperature_c"]["def_ent_id"] == "sensor.bike_temperature"


# Many devices have these profiles together.
TOGETHER = [
    ("cycling_power", "cycling_speed_cadence", "fitness_machine", "heart_rate"),
    ("fitness_machine", "running_speed_cadence"),
    ("location_navigation", "running_speed_cadence"),
    ("body_composition", "user_data", "weight_scale"),
    ("continuous_glucose", "glucose"),
    ("blood_pressure", "health_thermometer", "pulse_oximeter", "weight_scale"),
]
MACHINES = {"treadmill", "cross_trainer", "step_climber", "stair_climber", "rower"}


@pytest.mark.parametrize("profiles", TOGETHER, ids="-".join)
def test_names_and_ids_do_not_depend_on_what_was_sent_so_far(profiles: tuple[str, ...]) -> None:
    kinds = sorted(kind for kind in kinds_of(profiles) if kind not in MACHINES)
    facts = {"profiles": profiles}
    everything = of_peripheral(all_keys(*kinds), facts=facts)["cmps"]
    for order in (kinds, kinds[::-1]):
        for count in range(1, len(order) + 1):
            found = of_peripheral(all_keys(*order[:count]), facts=facts)["cmps"]
            assert found.items() <= everything.items()
    ids = [one["def_ent_id"] for one in everything.values()]
    assert len(set(ids)) == len(ids)
    names = [one["name"] for one in everything.values()]
    assert len(set(names)) == len(names)


def kinds_of(profiles: tuple[str, ...]) -> set[str]:
    models = [
        model
        for profile in profiles
        for model in (
            *(one.model for one in REGISTRY.profiles[profile].characteristics),
            *REGISTRY.profiles[profile].derived,
        )
    ]
    return {model.kind for model in models} & MODELS.keys()


def test_a_machine_alone_has_plain_names_and_a_strap_on_it_takes_only_the_heart_rate() -> None:
    known = all_keys("treadmill")
    alone = of_peripheral(known, facts={"profiles": ["fitness_machine"]})["cmps"]
    assert not [one["name"] for one in alone.values() if "(" in one["name"]]
    strap = of_peripheral(known, facts={"profiles": ["fitness_machine", "heart_rate"]})["cmps"]
    changed = {id_ for id_ in alone if alone[id_]["name"] != strap[id_]["name"]}
    assert changed == {"treadmill_heart_rate_bpm"}
    assert strap["treadmill_heart_rate_bpm"]["name"] == "Heart rate (treadmill)"
    assert alone["treadmill_speed_mps"]["uniq_id"] == strap["treadmill_speed_mps"]["uniq_id"]


@pytest.mark.parametrize("profiles", TOGETHER, ids="-".join)
def test_no_name_says_a_word_twice(profiles: tuple[str, ...]) -> None:
    """As "Glucose (glucose)" did."""
    known = all_keys(*kinds_of(profiles))
    for one in of_peripheral(known, facts={"profiles": profiles})["cmps"].values():
        words = re.findall(r"\w+", one["name"].lower())
        assert len(set(words)) == len(words), one["name"]


# What people see at first


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("intermediate_temperature", "temperature_c"),
        ("intermediate_cuff_pressure", "cuff_pressure_mmhg"),
        ("cycling_power", "cumulative_crank_revolutions"),
        ("heart_rate_variability", "window_s"),
        ("heart_rate_variability", "rejected_beats"),
        ("cycling_power", "pedal_power_balance_reference"),
        ("indoor_bike", "energy_per_minute_kj_per_h"),
        ("indoor_bike", "energy_per_hour_kj_per_h"),
        ("indoor_bike", "resistance_raw"),
        ("battery_level_status", "level_pct"),
        ("fitness_machine_status", "resistance_raw"),
    ],
)
def test_what_few_people_need_is_disabled_at_first(kind: str, key: str) -> None:
    assert cmps(kind)[f"{kind}_{key}"]["en"] is False


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("heart_rate", "heart_rate_bpm"),
        ("heart_rate_variability", "rmssd_ms"),
        ("indoor_bike", "total_energy_kj"),
        ("cgm", "trend_mmol_per_l_per_min"),
        ("weight", "weight_kg"),
        ("battery", "level_pct"),
        ("fitness_machine_status", "name"),
        ("position_quality", "ehpe_m"),
    ],
)
def test_what_a_device_is_for_is_enabled(kind: str, key: str) -> None:
    assert "en" not in cmps(kind)[f"{kind}_{key}"]


def test_every_entity_has_an_icon_or_a_class_that_has_one() -> None:
    for payload in everything().values():
        for id_, one in payload["cmps"].items():
            assert one.get("dev_cla") not in (None, "enum") or "ic" in one, id_


def test_no_word_has_underscores() -> None:
    found = cmps()
    options = [option for one in found.values() for option in one.get("ops", ())]
    assert len(options) > 50
    assert not [option for option in options if "_" in option]
    charge = found["battery_level_status_charge_state"]
    assert state(charge, b'{"charge_state": "discharging_active"}') == "discharging active"
    assert state(charge, b"{}") is None
    assert state(charge, b'{"charge_state": null}') is None


# Units that people use


@pytest.mark.parametrize(
    ("kind", "key", "value", "shown_as"),
    [
        # 25.2 km/h, in the treadmill's steps of 0.01 km/h
        ("treadmill", "speed_mps", 7.0, 25.2),
        # 10 kcal (FIELD B1): 41.84 kJ
        ("rower", "total_energy_kj", 41.84, 10),
        ("rower", "total_distance_m", 1234, 1.234),
        # 4 mg of insulin, 50 g of carbohydrate
        ("glucose_context", "medication_kg", 4e-6, 4),
        ("glucose_context", "carbohydrate_kg", 0.05, 50),
        ("glucose_context", "medication_l", 0.00004, 0.04),
        ("weight", "weight_kg", 82.3, 82.3),
        ("cycling_power", "accumulated_energy_kj", 5, 5),
    ],
)
def test_a_number_in_a_unit_that_people_use(
    kind: str, key: str, value: float, shown_as: float
) -> None:
    config = cmps(kind)[f"{kind}_{key}"]
    assert state(config, orjson.dumps({key: value})) == pytest.approx(shown_as)
    assert state(config, orjson.dumps({key: None})) is None
    assert state(config, b"{}", 5.0) == 5.0


# A place


def test_a_pod_that_knows_its_position_is_a_device_tracker() -> None:
    tracker = cmps("location_and_speed")["location_and_speed_position"]
    assert tracker["p"] == "device_tracker"
    assert tracker["json_attr_t"] == "healthd/living-room/device/bike/location_and_speed"
    assert "stat_t" not in tracker
    here = orjson.dumps({"latitude_deg": 52.5, "longitude_deg": -13.25, "speed_mps": 1.0})
    assert state(tracker, here) == (52.5, -13.25)
    for nowhere in (b"{}", b'{"latitude_deg": null, "longitude_deg": null}'):
        assert state(tracker, nowhere, (52.5, -13.25)) == (52.5, -13.25)


def test_a_pod_without_a_position_is_not_a_device_tracker() -> None:
    found = of_peripheral({"location_and_speed": ["speed_mps", "latitude_deg"]})["cmps"]
    assert {one["p"] for one in found.values()} == {"sensor", "binary_sensor"}


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


def test_what_is_advertised_does_not_expire() -> None:
    """Equal values are published once; the device's status says whether it is still there."""
    known = {"environment": ["temperature_c"]}
    found = of_peripheral(known, facts={"profiles": ["bthome"]})["cmps"]
    assert "exp_aft" not in found["environment_temperature_c"]
    assert "avty" not in found["environment_temperature_c"]


@pytest.mark.parametrize(
    ("key", "name", "platform", "expected"),
    [
        ("temperature_c", "Temperature", "sensor", {"dev_cla": "temperature"}),
        ("second_temperature_c", "Second temperature", "sensor", {"dev_cla": "temperature"}),
        ("humidity_pct", "Humidity", "sensor", {"dev_cla": "humidity", "unit_of_meas": "%"}),
        ("second_moisture_pct", "Second moisture", "sensor", {"dev_cla": "moisture"}),
        ("co2_ppm", "CO2", "sensor", {"dev_cla": "carbon_dioxide", "unit_of_meas": "ppm"}),
        ("pm2_5_ug_per_m3", "PM2.5", "sensor", {"dev_cla": "pm25", "unit_of_meas": "µg/m³"}),
        ("illuminance_lx", "Illuminance", "sensor", {"dev_cla": "illuminance"}),
        ("motion_detected", "Motion detected", "binary_sensor", {"dev_cla": "motion"}),
        ("battery_level_pct", "Battery level", "sensor", {"dev_cla": "battery"}),
        ("battery_low", "Battery low", "binary_sensor", {"ent_cat": "diagnostic"}),
    ],
)
def test_what_is_measured_in_a_room(
    key: str, name: str, platform: str, expected: dict[str, Any]
) -> None:
    found = cmps("environment")[f"environment_{key}"]
    assert found.items() >= {"name": name, "p": platform, **expected}.items()


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
    "radio": {"scan_s": 1.0, "scan_duty_pct": 1.1, "linked_s": {}},
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
    for key, shown_as in {**fetch, "outcome": "no data"}.items():
        template = jinja2.Template(found[f"fetch_{key}"]["val_tpl"])
        assert template.render(value_json={"state": "waiting", "fetch": fetch}) == shown_as
        assert template.render(value_json={"state": "searching"}) == "None"


# Requests


def test_there_are_no_controls_unless_requests_are_allowed() -> None:
    payload = of_peripheral(all_keys(), entry(), RANGES)
    assert {one["p"] for one in payload["cmps"].values()} == {
        "sensor",
        "binary_sensor",
        "device_tracker",
    }
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
    for settings, profiles in (
        (entry(connect=False), ()),
        (entry(), ("keiser", "mi_band")),
    ):
        facts = {"profiles": profiles}
        assert not controls(known=all_keys("heart_rate"), settings=settings, facts=facts)
    both = controls(known={}, facts={"profiles": ("battery", "mi_scale")})
    assert both.keys() == {"request_reconnect"}
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
    # A belt is not moved to reach a power, and its resistance needs limits.
    belt = controls(known=all_keys("treadmill"), facts=RANGES)
    assert belt.keys() == {"request_reconnect", "request_stop"}
    belt = controls(known=all_keys("treadmill"), facts=RANGES, settings=entry(**LIMITS))
    assert belt.keys() == machine.keys() - {"request_set_target_power"}
    controllable = {"fitness_machine_feature": {"target_settings": ["training_time"]}}
    assert controls(known={}, facts=controllable).keys() >= {"request_start", "request_stop"}
    uncontrollable: dict[str, Any] = {"fitness_machine_feature": {"target_settings": []}}
    assert controls(known={}, facts=uncontrollable).keys() == {"request_reconnect"}


def test_a_button_sends_the_request() -> None:
    for id_, control in controls(known={}, facts=RANGES).items():
        verb = id_.removeprefix("request_")
        assert control["cmd_t"] == f"healthd/living-room/request/{verb}"
        if control["p"] == "button":
            # Not on an automatic dashboard: a touch by mistake must not start a machine.
            assert control["ent_cat"] == "config"
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
        ("set_target_speed", "speed_mps", 9, 2.5),
        ("set_target_speed", "speed_mps", 10.8, 3.0),
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
        "speed": (0.8, 10.8, 0.1),
        "inclination": (0.0, 6.04, 0.5),
    }
    # Where the power is limited, a resistance is refused unless it has limits, too.
    assert limits(RANGES, control={"power_w": [0, 400]}) == {"power": (25, 400, 5)}
    assert limits({}, **LIMITS) == {
        "power": (0.0, 400.0, 1),
        "resistance": (0, 60, 0.1),
        "speed": (0.0, 10.8, 0.1),
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


def test_the_speed_of_a_belt_is_shown_and_set_in_kilometres_per_hour() -> None:
    speed = controls(known={}, facts=RANGES, settings=entry(**LIMITS))["request_set_target_speed"]
    assert speed["unit_of_meas"] == "km/h"
    assert state(speed, b'{"name": "target_speed_changed", "speed_mps": 2.5}') == 9.0
