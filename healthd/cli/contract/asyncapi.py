"""``healthd schema --format asyncapi``: the contract as an AsyncAPI document."""

from typing import Any, cast

import orjson

from healthd import __version__
from healthd.cli.contract.channels import TOPICS, Channel, channels
from healthd.cli.contract.schema import everything
from healthd.mqtt.acked_client import KEEPALIVE_S, QOS
from healthd.mqtt.payloads import Response
from healthd.profiles.registry import Registry, load
from healthd.samples import ENVELOPE_KEYS, Measurement
from healthd.verbs import Request

_DESCRIPTION = """\
What healthd publishes: Bluetooth LE heart-rate, fitness and health sensors over MQTT; and what it
may be asked for, where [mqtt] requests of its settings allows that.
docs/mqtt.md tells of duplicates, gaps and examples. User properties, content types and expiry need
MQTT 5; over MQTT 3.1.1 topics and payloads are the same."""

_PARAMETERS = {
    "prefix": {
        "default": "healthd",
        "description": "First level or levels of every topic: [mqtt] prefix of the settings.",
    },
    "gateway": {"description": "Id of the gateway: [gateway] id of the settings."},
    "device": {"description": "Id of the peripheral: its id in the settings."},
    "discovery": {
        "default": "homeassistant",
        "description": "Home Assistant's own prefix: [mqtt] discovery of the settings.",
    },
    "verb": {"description": "What was asked for."},
    "uuid": {"description": "Characteristic: four hex digits, or 36 characters."},
}

# Versions of the bindings of MQTT, at https://github.com/asyncapi/bindings.
_BINDING = {"bindingVersion": "0.2.0"}

# Of a request: MQTT 5 can say where it is to be answered, and by what the answer is known.
_REPLY = {"responseTopic": {"type": "string"}, "correlationData": {"type": "string"}, **_BINDING}

_STATUS = "status"


def page() -> str:
    """The whole document, as JSON."""
    return orjson.dumps(document(load()), option=orjson.OPT_INDENT_2).decode() + "\n"


def document(registry: Registry) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    known = channels(registry)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "healthd",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"mqtt5": _server("5"), "mqtt311": _server("3.1.1")},
        "channels": {one.name: _channel(one) for one in known},
        "operations": dict(map(_operation, known)),
        "components": {
            "messages": {_message_name(one): _message(one) for one in known},
            "schemas": _schemas(registry),
            "correlationIds": {
                "sample": {
                    "description": "Unique within a stream: every further delivery of a sample, "
                    "at its live topic or in its history, has the same one.",
                    "location": "$message.payload#/id",
                },
                "request": {
                    "description": "Given back in the response, as the correlation data of MQTT 5 "
                    "are.",
                    "location": "$message.payload#/transaction",
                },
            },
        },
    }


def _server(version: str) -> dict[str, Any]:
    will = {"topic": TOPICS.status, "qos": QOS, "message": "offline", "retain": True}
    binding = {"cleanSession": True, "keepAlive": KEEPALIVE_S, "lastWill": will, **_BINDING}
    return {
        "host": "{broker}",
        "protocol": "mqtt",
        "protocolVersion": version,
        "description": f'[mqtt] version = "{version}" of the settings.',
        "variables": {"broker": {"default": "localhost:1883", "description": "Host and port."}},
        "bindings": {"mqtt": binding},
    }


def _channel(channel: Channel) -> dict[str, Any]:
    name = _message_name(channel)
    found: dict[str, Any] = {
        "address": channel.address,
        "summary": channel.summary,
        "parameters": {
            key: text for key, text in _PARAMETERS.items() if f"{{{key}}}" in channel.address
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }
    if channel.history is not None:
        found["x-history"] = {"$ref": f"#/channels/{channel.history}"}
    return found


def _operation(channel: Channel) -> tuple[str, dict[str, Any]]:
    binding: dict[str, Any] = {"qos": QOS, "retain": channel.retained, **_BINDING}
    if channel.expires_s is not None:
        binding["messageExpiryInterval"] = channel.expires_s
    action = "receive" if channel.is_request else "send"
    found: dict[str, Any] = {
        "action": action,
        **_place(channel.name, _message_name(channel)),
        "summary": channel.summary,
        "bindings": {"mqtt": binding},
    }
    if channel.is_request:
        found["reply"] = _place(Response.kind, Response.kind)
    return f"{action}_{channel.name}", found


def _place(channel: str, message: str) -> dict[str, Any]:
    where = f"#/channels/{channel}"
    return {"channel": {"$ref": where}, "messages": [{"$ref": f"{where}/messages/{message}"}]}


def _message_name(channel: Channel) -> str:
    """Live and history carry the same message."""
    return _STATUS if channel.model is None else channel.model.kind


def _message(channel: Channel) -> dict[str, Any]:
    model = channel.model
    if model is None:
        reference = {"$ref": f"#/components/schemas/{_STATUS}"}
        return {"name": _STATUS, "contentType": "text/plain", "payload": reference}
    payload: dict[str, Any] = {"$ref": f"#/components/schemas/{model.kind}"}
    found: dict[str, Any] = {
        "name": model.kind,
        "contentType": "application/json",
        "payload": payload,
    }
    if issubclass(model, Request | Response):
        found["correlationId"] = {"$ref": "#/components/correlationIds/request"}
    if issubclass(model, Request):
        found["bindings"] = {"mqtt": _REPLY}
        return found
    found["headers"] = {
        "type": "object",
        "description": "User properties of MQTT 5; over MQTT 3.1.1 there are none.",
        "properties": {"schema": {"const": f"{model.kind}/{model.schema_version}"}},
    }
    if issubclass(model, Measurement):
        # The schema alone is also that of `healthd decode`, which knows no envelope.
        found["payload"] = {"allOf": [payload, {"required": sorted(ENVELOPE_KEYS)}]}
        found["correlationId"] = {"$ref": "#/components/correlationIds/sample"}
    return found


def _schemas(registry: Registry) -> dict[str, Any]:
    status: dict[str, Any] = {"type": "string", "enum": ["online", "offline"]}
    return {_STATUS: status} | {
        kind: cast("dict[str, Any]", _moved(one))
        for kind, one in everything(registry)["$defs"].items()
    }


def _moved(part: object) -> object:
    """The same, as a component.

    AsyncAPI takes an object with the key ``schema`` for one that wraps another format's schema.
    """
    if isinstance(part, list):
        return [_moved(one) for one in cast("list[object]", part)]
    if not isinstance(part, dict):
        return part
    found = {key: _moved(one) for key, one in cast("dict[str, object]", part).items()}
    match found:
        case {"$ref": str(reference)}:
            found["$ref"] = reference.replace("#/$defs/", "#/components/schemas/")
        case {"schema": str(name)}:
            del found["schema"]
            found["x-schema"] = name
        case _:
            pass
    return found
