"""The MQTT contract: every channel, and the AsyncAPI document and page generated from them."""

import re
from functools import cache
from pathlib import Path
from subprocess import run
from typing import Any

import orjson
import pytest

from healthd.cli.contract import asyncapi, mqtt_page
from healthd.cli.contract.channels import Channel, channels
from healthd.cli.contract.schema import DIALECT, EVENTS, everything, published
from healthd.profiles.registry import load
from healthd.samples import ENVELOPE_KEYS
from healthd.verbs import REQUESTS
from tests.unit.cli.machine import Machine
from tests.unit.cli.references import references

REGISTRY = load()
CHANNELS = {channel.name: channel for channel in channels(REGISTRY)}
OF_A_PERSON = {"person_weight", "person_body_composition", "person_blood_pressure"}
PAGE = Path(__file__).parents[4] / "docs" / "mqtt.md"


@cache
def document() -> dict[str, Any]:
    """Return the AsyncAPI document; made once, and only where these tests run."""
    return asyncapi.document(REGISTRY)


def test_every_topic_has_one_channel() -> None:
    assert len(CHANNELS) == len(channels(REGISTRY))
    addresses = [channel.address for channel in CHANNELS.values()]
    assert len(set(addresses)) == len(addresses)
    expected = {"status", "info", "health", "device_status", "device_info"}
    expected |= {"discovery_gateway", "discovery_device"}
    expected |= {f"event_{model.kind}" for model in EVENTS}
    streams = {*published(REGISTRY), "undecoded"}
    streams |= OF_A_PERSON
    expected |= streams | {f"{stream}_history" for stream in streams}
    expected |= {f"request_{verb}" for verb in REQUESTS} | {"response"}
    assert CHANNELS.keys() == expected
    assert CHANNELS.keys() >= {"heart_rate", "weight", "ecg", "heart_rate_variability", "battery"}


@pytest.mark.parametrize(
    ("name", "address", "retained", "expires_s"),
    [
        ("status", "{prefix}/{gateway}/status", True, None),
        ("health", "{prefix}/{gateway}/health", True, 180),
        ("event_gap", "{prefix}/{gateway}/event/gap", False, None),
        ("device_info", "{prefix}/{gateway}/device/{device}/info", True, None),
        ("discovery_gateway", "{discovery}/device/{gateway}/config", True, None),
        ("discovery_device", "{discovery}/device/{gateway}_{device}/config", True, None),
        ("heart_rate", "{prefix}/{gateway}/device/{device}/heart_rate", False, None),
        ("weight", "{prefix}/{gateway}/device/{device}/weight", True, None),
        ("weight_history", "{prefix}/{gateway}/device/{device}/weight/history", False, None),
        (
            "person_weight",
            "{prefix}/{gateway}/device/{device}/person/{person}/weight",
            True,
            None,
        ),
        ("request_scan", "{prefix}/{gateway}/request/scan", False, None),
        ("response", "{prefix}/{gateway}/response/{verb}", False, None),
        ("undecoded", "{prefix}/{gateway}/device/{device}/undecoded/{uuid}", False, None),
    ],
)
def test_address_retention_and_expiry_of_a_channel(
    name: str, address: str, retained: bool, expires_s: int | None
) -> None:
    channel = CHANNELS[name]
    assert (channel.address, channel.retained) == (address, retained)
    assert channel.expires_s == expires_s


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS)
def test_asyncapi_has_the_channels_parameters_message_and_schema(channel: Channel) -> None:
    found = document()["channels"][channel.name]
    assert found["parameters"].keys() == set(re.findall(r"{(\w+)}", channel.address))
    (name,) = found["messages"]
    message = document()["components"]["messages"][name]
    if channel.model is None:
        assert message["contentType"] == "text/plain"
        return
    version = {"const": f"{name}/{channel.model.schema_version}"}
    assert document()["components"]["schemas"][name]["x-schema"] == version["const"]
    if channel.is_request:
        assert "headers" not in message, "other clients publish it, without user properties"
    else:
        assert message["headers"]["properties"]["schema"] == version


@pytest.mark.parametrize("verb", REQUESTS)
def test_a_request_is_received_and_answered(verb: str) -> None:
    operation = document()["operations"][f"receive_request_{verb}"]
    assert operation["action"] == "receive"
    assert operation["channel"] == {"$ref": f"#/channels/request_{verb}"}
    assert operation["reply"]["channel"] == {"$ref": "#/channels/response"}
    (message,) = operation["messages"]
    assert _resolve(message["$ref"]) == {"$ref": f"#/components/messages/request_{verb}"}
    messages = document()["components"]["messages"]
    request, response = messages[f"request_{verb}"], messages["response"]
    assert request["bindings"]["mqtt"].keys() >= {"responseTopic", "correlationData"}
    assert request["correlationId"] == {"$ref": "#/components/correlationIds/request"}
    assert request["correlationId"] == response["correlationId"]


def test_live_and_history_carry_the_same_message_with_the_same_id() -> None:
    live, history = (document()["channels"][f"heart_rate{end}"] for end in ("", "_history"))
    assert live["messages"] == history["messages"]
    assert live["x-history"] == {"$ref": "#/channels/heart_rate_history"}
    message = document()["components"]["messages"]["heart_rate"]
    assert message["correlationId"] == {"$ref": "#/components/correlationIds/sample"}
    where = document()["components"]["correlationIds"]["sample"]["location"]
    assert where == "$message.payload#/id"
    sample = _resolve(message["payload"]["$ref"])
    assert set(sample["required"]) >= ENVELOPE_KEYS


def test_asyncapi_has_every_schema_with_units_and_codes() -> None:
    schemas = document()["components"]["schemas"]
    assert schemas.keys() == {*everything(REGISTRY)["$defs"], "status"}
    rate = schemas["heart_rate"]["properties"]["heart_rate_bpm"]
    assert (rate["unit"], rate["mdc"], rate["loinc"]) == ("/min", 8454258, "8867-4")
    assert set(references(document())) >= {"#/components/schemas/Battery"}
    assert not [reference for reference in references(document()) if _resolve(reference) is None]


def _resolve(reference: str) -> Any:
    part: Any = document()
    for key in reference.removeprefix("#/").split("/"):
        part = part.get(key, {})
    return part or None


def test_the_page_in_the_repository_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == mqtt_page.page()


def test_the_page_has_every_topic_event_and_stream() -> None:
    text = mqtt_page.page()
    streams = {*published(REGISTRY), "undecoded", *OF_A_PERSON}
    for channel in CHANNELS.values():
        if channel.is_request:
            assert f"| `{channel.name.removeprefix('request_')}` |" in text
        elif channel.name.removesuffix("_history") not in streams:
            assert f"| `{channel.address}` |" in text
    for model in EVENTS:
        assert text.count(f"### `event/{model.kind}`\n") == 1
    assert [kind for kind in published(REGISTRY) if f"`{kind}`" not in text] == []
    assert "<!--" not in text


@pytest.mark.parametrize("format", ["asyncapi", "mqtt", "jsonschema"])
def test_the_command_prints_each_format(machine: Machine, format: str) -> None:
    command = machine.command("schema", "--format", format)
    done = run(command, env=machine.environ, capture_output=True, timeout=30, check=True)
    text = done.stdout.decode()
    if format == "mqtt":
        assert text == mqtt_page.page()
    elif format == "asyncapi":
        assert orjson.loads(text) == document()
    else:
        assert orjson.loads(text)["$schema"] == DIALECT


def test_asyncapi_refuses_a_single_kind(machine: Machine) -> None:
    command = machine.command("schema", "heart_rate", "--format", "asyncapi")
    done = run(command, env=machine.environ, capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "leave KIND out" in done.stderr.decode()
