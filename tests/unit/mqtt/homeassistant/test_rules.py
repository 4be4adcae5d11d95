"""The tests' rules of Home Assistant: each reports what breaks it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.hass_rules import complaints, complaints_of_all

TOPIC = "homeassistant/device/home_strap/config"
Change = Callable[[dict[str, Any]], object]


def good() -> dict[str, Any]:
    return {
        "dev": {"ids": ["healthd_home_strap"], "name": "Strap"},
        "o": {"name": "healthd"},
        "avty": [{"t": "healthd/home/status"}],
        "avty_mode": "all",
        "qos": 1,
        "cmps": {
            "rate": {
                "p": "sensor",
                "uniq_id": "rate",
                "def_ent_id": "sensor.rate",
                "stat_t": "healthd/home/device/strap/heart_rate",
                "val_tpl": "{{ value_json.heart_rate_bpm | default('') }}",
                "unit_of_meas": "bpm",
                "stat_cla": "measurement",
                "sug_dsp_prc": 0,
                "ic": "mdi:heart",
                "exp_aft": 60,
            },
            "word": {
                "p": "sensor",
                "uniq_id": "word",
                "stat_t": "x",
                "val_tpl": "{{ value_json.x | default(none) }}",
                "dev_cla": "enum",
                "ops": ["a", "b"],
            },
            "contact": {"p": "binary_sensor", "uniq_id": "contact", "stat_t": "x"},
            "button": {"p": "button", "uniq_id": "button", "cmd_t": "x", "qos": 1},
            "number": {"p": "number", "uniq_id": "number", "cmd_t": "x", "qos": 1},
            "place": {"p": "device_tracker", "uniq_id": "place", "json_attr_t": "x", "en": False},
            "gone": {"p": "sensor"},
        },
    }


def put(component: str, **config: Any) -> Change:
    return lambda payload: payload["cmps"][component].update(config)


def drop(component: str, key: str) -> Change:
    return lambda payload: payload["cmps"][component].pop(key)


BAD: dict[str, Change] = {
    "root: no dev": lambda payload: payload.pop("dev"),
    "root: no o": lambda payload: payload.pop("o"),
    "root: no cmps": lambda payload: payload.pop("cmps"),
    "cmps: empty": lambda payload: payload["cmps"].clear(),
    "root: unknown exp_aft": lambda payload: payload.update(exp_aft=60),
    "root: unknown x": lambda payload: payload.update(x=1),
    "root: avty and avty_t": lambda payload: payload.update(avty_t="x"),
    "root: avty is not a list": lambda payload: payload.update(avty={"t": "x"}),
    "root: avty without a topic": lambda payload: payload.update(avty=[{}]),
    "root: avty has ['x']": lambda payload: payload.update(avty=[{"x": 1}]),
    "root: avty_mode": lambda payload: payload.update(avty_mode="both"),
    "root: qos": lambda payload: payload.update(qos=3),
    "dev: unknown via_dev": lambda payload: payload["dev"].update(via_dev="x"),
    "dev: neither ids nor cns": lambda payload: payload["dev"].pop("ids"),
    "o: no name": lambda payload: payload["o"].pop("name"),
    "o: unknown x": lambda payload: payload["o"].update(x=1),
    "rate: p is None": drop("rate", "p"),
    "rate: p is gauge": put("rate", p="gauge"),
    "rate: no uniq_id": drop("rate", "uniq_id"),
    "rate: no stat_t": drop("rate", "stat_t"),
    "rate: stat_t": put("rate", stat_t="healthd/+/x"),
    "rate: def_ent_id rate": put("rate", def_ent_id="rate"),
    "def_ent_id sensor.rate twice": put("word", def_ent_id="sensor.rate"),
    "rate: component: unknown pl_on": put("rate", pl_on="x"),
    "rate: component: avty and avty_t": put("rate", avty=[], avty_t="x"),
    "rate: dev_cla heart_rate": put("rate", dev_cla="heart_rate"),
    "rate: unit bpm of frequency": put("rate", dev_cla="frequency"),
    "rate: unit C of temperature": put("rate", dev_cla="temperature", unit_of_meas="C"),
    "rate: unit C": put("rate", unit_of_meas="C"),
    "rate: unit min/km": put("rate", unit_of_meas="min/km"),
    "rate: ent_cat config": put("rate", ent_cat="config"),
    "rate: stat_cla measurement of energy": put("rate", dev_cla="energy", unit_of_meas="kJ"),
    "rate: sug_dsp_prc": put("rate", sug_dsp_prc=0.5),
    "rate: exp_aft": put("rate", exp_aft=0),
    "rate: ic": put("rate", ic="heart"),
    "rate: ops": put("rate", ops=["a"]),
    "word: ops": put("word", ops=[]),
    "word: enum without ops": drop("word", "ops"),
    "word: text that may be empty": put("word", val_tpl="{{ value_json.x | default('') }}"),
    "contact: no stat_t": drop("contact", "stat_t"),
    "contact: dev_cla enum": put("contact", dev_cla="enum"),
    "contact: ent_cat config": put("contact", ent_cat="config"),
    "place: no json_attr_t": drop("place", "json_attr_t"),
    "place: json_attr_t": put("place", json_attr_t="healthd/#"),
    "place: src_type satellite": put("place", src_type="satellite"),
    "place: en": put("place", en="false"),
    "place: component: unknown dev_cla": put("place", dev_cla="x"),
    "button: ent_cat settings": put("button", ent_cat="settings"),
    "button: no cmd_t": drop("button", "cmd_t"),
    "button: cmd_t": put("button", cmd_t="#"),
    "button: dev_cla power": put("button", dev_cla="power"),
    "button: qos of a command": put("button", qos=0),
    "button: a retained command": put("button", ret=True),
    "number: qos of a command": drop("number", "qos"),
    "number: min and max": put("number", min=10, max=10),
    "number: step": put("number", step=0.0001),
    "number: unit rpm of power": put("number", dev_cla="power", unit_of_meas="rpm"),
}


def test_a_valid_payload_has_no_complaints() -> None:
    assert complaints(TOPIC, good()) == []


@pytest.mark.parametrize(("expected", "change"), BAD.items(), ids=BAD)
def test_each_broken_rule_is_reported(expected: str, change: Change) -> None:
    payload = good()
    change(payload)
    assert expected in complaints(TOPIC, payload)


@pytest.mark.parametrize(
    "topic",
    [
        "homeassistant/device/home.strap/config",
        "homeassistant/device/home/strap/state",
        "homeassistant/sensor/home_strap/config",
    ],
)
def test_home_assistant_ignores_other_topics(topic: str) -> None:
    assert complaints(topic, good()) == [f"topic {topic}"]


def test_a_state_topic_may_be_inherited() -> None:
    payload: dict[str, Any] = {**good(), "stat_t": "x"}
    del payload["cmps"]["rate"]["stat_t"]
    assert complaints(TOPIC, payload) == []


def test_payloads_are_checked_against_each_other() -> None:
    one, other = good(), copy.deepcopy(good())
    other["dev"] = {"ids": ["other"], "via_device": "healthd_home"}
    found = complaints_of_all({TOPIC: one, "homeassistant/device/other/config": other})
    assert "homeassistant/device/other/config: via_device healthd_home is not announced" in found
    assert "uniq_id rate twice" in found
