"""The AsyncAPI document, checked with the official parser of AsyncAPI."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from healthd.cli.contract.asyncapi import document as asyncapi_document
from healthd.cli.contract.channels import channels
from healthd.profiles.registry import load
from tests.support.node import INSTALL_S, node, packages

FOLDER = Path(__file__).parent / "asyncapi"

REGISTRY = load()

Validate = Callable[[dict[str, Any]], dict[str, Any]]

# Severities of the parser: error, warning.
_SERIOUS = (0, 1)

pytestmark = pytest.mark.timeout(INSTALL_S + 60)


@pytest.fixture(scope="module")
def validate() -> Validate:
    installed = packages(FOLDER)

    def run(document: dict[str, Any]) -> dict[str, Any]:
        script, stdin = FOLDER / "validate.js", json.dumps(document)
        report: dict[str, Any] = json.loads(node(script, packages=installed, stdin=stdin))
        return report

    return run


def test_the_document_is_valid_and_describes_each_channel(validate: Validate) -> None:
    report = validate(asyncapi_document(REGISTRY))
    diagnostics = report["diagnostics"]
    assert [entry for entry in diagnostics if entry["severity"] in _SERIOUS] == []
    assert report["valid"]
    known = {channel.address: channel for channel in channels(REGISTRY)}
    assert {found["address"] for found in report["found"]} == known.keys()
    for found in report["found"]:
        channel = known[found["address"]]
        (message,), (binding,) = found["messages"], found["operations"]
        assert message == ("status" if channel.model is None else channel.model.kind)
        assert (binding["qos"], binding["retain"]) == (1, channel.retained)
        assert binding.get("messageExpiryInterval") == channel.expires_s


def test_a_document_with_a_mistake_is_invalid(validate: Validate) -> None:
    document = asyncapi_document(REGISTRY)
    document["operations"]["send_info"]["channel"]["$ref"] = "#/channels/nowhere"
    assert not validate(document)["valid"]
