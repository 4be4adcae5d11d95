"""The JSON Schema of everything published, and the page of profiles."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from subprocess import run
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from healthd.cli.contract.reference import page
from healthd.cli.contract.schema import (
    DIALECT,
    EVENTS,
    UnknownKind,
    measurements,
    payloads,
    published,
    requests,
    schema,
)
from healthd.profiles.battery import decode_level
from healthd.profiles.quirks import Quirk
from healthd.profiles.registry import load
from healthd.samples import ENVELOPE_KEYS
from healthd.verbs import REQUESTS
from tests.unit.cli.machine import Machine
from tests.unit.cli.references import references

REGISTRY = load()
KINDS = [*measurements(REGISTRY), *payloads(), *requests()]
DOCS = Path(__file__).parents[4] / "docs"


@cache
def answer(kind: str | None = None) -> dict[str, Any]:
    """Return what the command prints; tests copy it before they change it."""
    return orjson.loads(schema(kind))


def test_one_kind() -> None:
    found = answer("heart_rate")
    assert found["$schema"] == DIALECT
    assert (found["title"], found["schema"], found["retained"]) == (
        "heart_rate",
        "heart_rate/1",
        False,
    )
    rate = found["properties"]["heart_rate_bpm"]
    assert (rate["unit"], rate["mdc"], rate["loinc"]) == ("/min", 8454258, "8867-4")
    assert rate["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert found["properties"].keys() >= ENVELOPE_KEYS
    assert "additionalProperties" not in found, "the next version may publish more keys"
    # Only keys that are in every packet; and no key has a default, because absent is not null.
    assert found["required"] == [
        *("id", "time", "clock", "seq"),
        "heart_rate_bpm",
        "sensor_contact_supported",
        "sensor_contact_detected",
    ]
    assert not any("default" in field for field in found["properties"].values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_document_contains_each_kind(kind: str) -> None:
    alone, together = dict(answer(kind)), answer()["$defs"]
    parts = alone.pop("$defs", {})
    assert alone.pop("$schema") == DIALECT
    assert together[kind] == alone
    assert parts.items() <= together.items()


def test_the_document_contains_no_other_kinds() -> None:
    document = answer()
    kinds = {each.model.kind for each in REGISTRY.sources}
    kinds |= {model.kind for profile in REGISTRY.profiles.values() for model in profile.derived}
    kinds |= {"gap", "link", "fetch", "control", "outbox", "adapter", "clock", "undecoded"}
    kinds |= {"info", "health", "device_info", "homeassistant_device", "response"}
    kinds |= {f"request_{verb}" for verb in REQUESTS}
    assert kinds == set(KINDS) <= document["$defs"].keys()
    assert document["anyOf"] == [{"$ref": f"#/$defs/{kind}"} for kind in KINDS]


def test_docstrings_of_fields_become_descriptions() -> None:
    gap, health = answer("gap")["properties"], answer("health")
    assert gap["first"]["description"] == "UTC. Nothing before this time is missing."
    assert "description" not in gap["stream"]
    outbox = health["$defs"]["OutboxHealth"]["properties"]
    assert (outbox["payload_bytes"]["unit"], outbox["payload_bytes"]["description"]) == (
        "By",
        "Size of the samples on disk.",
    )


def test_device_info_contains_the_facts_that_profiles_read() -> None:
    found = answer("device_info")
    assert "additionalProperties" not in found
    assert found["required"] == ["state"]
    keys = found["properties"]
    assert keys.keys() >= {"state", "name", "bonded", "maker", "model", "firmware"}
    assert keys["battery"] == {"$ref": "#/$defs/Battery"}
    assert keys.keys().isdisjoint(ENVELOPE_KEYS | {"heart_rate", "device_information"})
    battery = found["$defs"]["Battery"]
    assert battery["properties"].keys().isdisjoint(ENVELOPE_KEYS)
    assert battery["required"] == ["level_pct"]


def test_a_request_has_its_required_keys_and_defaults() -> None:
    scan, simulation = answer("request_scan"), answer("request_set_simulation")
    assert "required" not in scan
    seconds = scan["properties"]["seconds"]
    assert (seconds["default"], seconds["maximum"], seconds["unit"]) == (10.0, 60.0, "s")
    assert simulation["required"] == ["peripheral", "grade_pct"]
    assert "default" not in simulation["properties"]["transaction"]
    assert simulation["additionalProperties"] is False


@pytest.mark.parametrize("kind", [*published(REGISTRY), "undecoded", *(e.kind for e in EVENTS)])
def test_a_sample_is_flat_and_has_its_first_keys(kind: str) -> None:
    found = answer(kind)
    assert set(found["required"]) >= ENVELOPE_KEYS
    assert "$defs" not in found
    for key, field in found["properties"].items():
        assert "object" not in json_types(field), f"{key} is not flat"


def json_types(field: dict[str, Any]) -> Iterator[str]:
    yield field.get("type", "")
    for part in (*field.get("anyOf", ()), *filter(None, [field.get("items")])):
        yield from json_types(part)


def test_only_requests_are_closed() -> None:
    closed = {
        kind
        for kind, part in answer()["$defs"].items()
        if part.get("additionalProperties") is False
    }
    assert closed == {f"request_{verb}" for verb in REQUESTS}


def test_the_document_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(answer())


def test_all_references_resolve() -> None:
    document = answer()
    found = list(references(document))
    assert found
    assert {reference.removeprefix("#/$defs/") for reference in found} <= document["$defs"].keys()


def test_an_unknown_kind_is_an_error_that_lists_the_known_kinds() -> None:
    with pytest.raises(UnknownKind) as caught:
        schema("hart_rate")
    assert str(caught.value).startswith("found 'hart_rate', expected a kind of payload: ")
    assert " heart_rate," in str(caught.value)


def test_the_page_in_the_repository_is_up_to_date() -> None:
    assert (DOCS / "profiles.md").read_text(encoding="utf-8") == page()


def test_the_page_lists_everything_that_is_read_and_every_quirk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = Quirk("charge in tenths", "2a19", decode_level, "an issue", name="odd*", maker="m")
    monkeypatch.setattr("healthd.cli.contract.reference.QUIRKS", (row,))
    text = page()
    for source in REGISTRY.sources:
        kind = source.model.kind
        kinds = ", ".join(f"`{model.kind}`" for model in (source.model, *source.others))
        assert f"| `{source.uuid}` | {kinds} |" in text
        assert text.count(f"### `{kind}`\n") == 1
    assert "| `heart_rate_bpm` | integer or null | `/min` | `8454258` | `8867-4` |" in text
    assert "| `2a19` | name `odd*`, maker `m` | charge in tenths | an issue |" in text


@pytest.mark.parametrize("arguments", [[], ["heart_rate"], ["--format", "markdown"]])
def test_the_command(machine: Machine, arguments: list[str]) -> None:
    command = machine.command("schema", *arguments)
    done = run(command, env=machine.environ, capture_output=True, timeout=30, check=True)
    text = done.stdout.decode()
    assert text == page() if "markdown" in arguments else orjson.loads(text)["$schema"] == DIALECT
