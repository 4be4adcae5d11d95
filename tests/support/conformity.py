"""Checks published messages against the contract alone: its channels and JSON Schemas."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, cast

import orjson
from jsonschema import Draft202012Validator

from healthd.cli.contract.channels import Channel, channels
from healthd.cli.contract.schema import everything
from healthd.profiles.registry import load
from healthd.samples import ENVELOPE_KEYS, Measurement
from tests.support.digits import too_many_digits
from tests.support.subscriber import Received

_REGISTRY = load()


@cache
def _document() -> dict[str, Any]:
    """Return the schemas as others get them: through JSON. Most test processes need none.

    They are open to the keys of later versions; here they are closed, as a key that this version
    publishes without naming it is a mistake.
    """
    return _closed(orjson.loads(orjson.dumps(everything(_REGISTRY))))


def _closed(part: Any) -> Any:
    if isinstance(part, list):
        return [_closed(item) for item in cast("list[Any]", part)]
    if not isinstance(part, dict):
        return part
    found = {key: _closed(value) for key, value in cast("dict[str, Any]", part).items()}
    return {"additionalProperties": False, **found} if "properties" in found else found


def _pattern(channel: Channel) -> re.Pattern[str]:
    address = channel.address.replace("{prefix}", "healthd")
    # Two ids share a level of Home Assistant's topics; no test's gateway has "_" in its id.
    address = address.replace("{gateway}", "[^/_]+")
    return re.compile(re.sub(r"{\w+}", "[^/]+", address))


# Not published by healthd: its responses say what is wrong with a request.
_REQUEST = re.compile("healthd/[^/]+/request/")

_CHANNELS = [(_pattern(channel), channel) for channel in channels(_REGISTRY)]
_VALIDATORS: dict[str, Draft202012Validator] = {}


def conform(messages: Iterable[Received]) -> set[str]:
    """Check every message of healthd, received over MQTT 5; return the names of the channels."""
    return {_check(message) for message in messages}


def _check(message: Received) -> str:
    if _REQUEST.match(message.topic):
        return "request"
    found = [channel for pattern, channel in _CHANNELS if pattern.fullmatch(message.topic)]
    assert len(found) == 1, f"{message.topic}: matches {[channel.name for channel in found]}"
    (channel,) = found
    assert message.qos == 1
    # The converse does not hold: a retained message that is published now arrives without the flag.
    assert channel.retained or not message.retained, message.topic
    if not message.payload:
        # The peripheral is no longer in the settings: its retained messages are cleared.
        assert channel.retained and "{device}" in channel.address, message.topic
        return channel.name
    assert (message.expiry_s is None) == (channel.expires_s is None), message.topic
    if channel.model is None:
        assert (message.content_type, message.user) == ("text/plain", {}), message.topic
        assert message.payload in (b"online", b"offline")
        return channel.name
    kind = channel.model.kind
    assert message.content_type == "application/json", message.topic
    assert message.user == {"schema": _document()["$defs"][kind]["schema"]}, message.topic
    payload = message.json()
    if issubclass(channel.model, Measurement):
        assert payload.keys() >= ENVELOPE_KEYS, message.topic
        assert not too_many_digits(payload), message.topic
    errors = _validator(kind).iter_errors(payload)  # pyright: ignore[reportUnknownMemberType]
    error = next(errors, None)
    assert error is None, f"{message.topic}: {error}"
    return channel.name


def _validator(kind: str) -> Draft202012Validator:
    if kind not in _VALIDATORS:
        # tests/unit/cli/contract/test_schema.py checks that the document itself is valid.
        whole = _document()
        document = {key: whole[key] for key in ("$schema", "$defs")}
        document["$ref"] = f"#/$defs/{kind}"
        _VALIDATORS[kind] = Draft202012Validator(
            document, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
    return _VALIDATORS[kind]
