"""The AsyncAPI document, as the parser of those who make AsyncAPI reads it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from healthd.cli.contract.asyncapi import document
from healthd.cli.contract.channels import channels
from healthd.profiles.registry import load
from tests.support.node import INSTALL_S, node, packages

FOLDER = Path(__file__).parent / "asyncapi"

REGISTRY = load()

Judge = Callable[[dict[str, Any]], dict[str, Any]]

# Severities of the parser: error, warning.
_SERIOUS = (0, 1)

pytestmark = pytest.mark.timeout(INSTALL_S + 60)


@pytest.fixture(scope="module")
def judge() -> Judge:
    installed = packages(FOLDER)

    def ask(one: dict[str, Any]) -> dict[str, Any]:
        script = FOLDER / "validate.js"
        said: dict[str, Any] = json.loads(node(script, packages=installed, stdin=json.dumps(one)))
        return said

    return ask


def test_it_is_valid_and_says_of_each_channel_what_is_done_there(judge: Judge) -> None:
    said = judge(document(REGISTRY))
    serious = [one for one in said["diagnostics"] if one["severity"] in _SERIOUS]
    assert serious == []
    assert said["valid"]
    known = {one.address: one for one in channels(REGISTRY)}
    assert {one["address"] for one in said["found"]} == known.keys()
    for one in said["found"]:
        channel = known[one["address"]]
        (message,), (binding,) = one["messages"], one["operations"]
        assert message == ("status" if channel.model is None else channel.model.kind)
        assert (binding["qos"], binding["retain"]) == (1, channel.retained)
        assert binding.get("messageExpiryInterval") == channel.expires_s


def test_a_document_with_a_mistake_is_told_from_one_without(judge: Judge) -> None:
    one = document(REGISTRY)
    one["operations"]["send_info"]["channel"]["$ref"] = "#/channels/nowhere"
    assert not judge(one)["valid"]
