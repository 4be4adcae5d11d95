"""The entities of people on a shared device."""

import orjson

from healthd.mqtt.homeassistant.gateway import gateway_payload
from tests.support.hass_rules import complaints_of_all
from tests.support.hass_states import state
from tests.unit.mqtt.homeassistant.homes import TOPICS, entry, of_peripheral

KEYS = ["person", "device_time", "user_id", "weight_kg", "bmi"]
KNOWN = {
    "weight": [*KEYS, "unattributed"],
    "person/anna/weight": KEYS,
    "person/bert-2/weight": ["person", "weight_kg"],
    "person/anna/body_composition": ["person", "body_fat_pct"],
    "person/anna/no_such_kind": ["weight_kg"],
}


def test_each_person_has_entities_at_topics_of_that_person() -> None:
    cmps = of_peripheral(KNOWN, entry("scale"))["cmps"]
    found = {id_: (one["name"], one["stat_t"]) for id_, one in cmps.items() if "person" in id_}
    device = "healthd/living-room/device/scale"
    assert found == {
        "person_anna_weight_weight_kg": ("Weight Anna", f"{device}/person/anna/weight"),
        "person_anna_weight_bmi": ("BMI Anna", f"{device}/person/anna/weight"),
        "person_bert-2_weight_weight_kg": ("Weight Bert 2", f"{device}/person/bert-2/weight"),
        "person_anna_body_composition_body_fat_pct": (
            "Body fat Anna",
            f"{device}/person/anna/body_composition",
        ),
    }
    # That of everyone is unchanged, and the reason is for programs.
    assert {"weight_weight_kg", "weight_user_id"} <= cmps.keys()
    assert not [id_ for id_ in cmps if id_.endswith("unattributed")]


def test_home_assistant_accepts_them_and_has_the_state_from_the_retained_message() -> None:
    payload = of_peripheral(KNOWN, entry("scale"))
    payloads = {
        TOPICS.announcement("homeassistant", "scale"): payload,
        TOPICS.announcement("homeassistant"): gateway_payload(TOPICS, ()),
    }
    assert complaints_of_all(payloads) == []
    anna = payload["cmps"]["person_anna_weight_weight_kg"]
    assert anna["avty"] == [{"t": "healthd/living-room/status"}]  # the scale is asleep
    assert "exp_aft" not in anna
    retained = orjson.dumps({"weight_kg": 61.4, "person": "anna"})
    assert state(anna, retained) == 61.4
