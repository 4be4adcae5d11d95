"""``healthd schema --format asyncapi``: the MQTT contract as an AsyncAPI document."""

from typing import Any, cast

import orjson

from healthd import __version__
from healthd.cli.contract.channels import TOPICS, Channel, channels
from healthd.cli.contract.schema import everything
from healthd.mqtt.acked_client import KEEPALIVE_S, QOS
from healthd.mqtt.payloads import Response
from healthd.profiles.registry import Registry, load
from healthd.samples import Measurement
from healthd.verbs import Request

_DESCRIPTION = """\
Everything that healthd publishes from Bluetooth LE heart-rate, fitness and health sensors, and the
requests that it accepts if [mqtt] requests in its settings allows them.
docs/mqtt.md describes duplicates and gaps and has examples. User properties, content types and
expiry need MQTT 5; over MQTT 3.1.1 topics and payloads are the same."""

_PARAMETERS = {
    "prefix": {
        "default": "healthd",
        "description": "First level or levels of every topic: [mqtt] prefix in the settings.",
    },
    "gateway": {"description": "Id of the gateway: [gateway] id in the settings."},
    "device": {"description": "Id of the peripheral in the settings."},
    "person": {"description": "Id of the person: id in [[people]] of the settings."},
    "discovery": {
        "default": "homeassistant",
        "description": "Home Assistant's discovery prefix: [mqtt] discovery in the settings.",
    },
    "verb": {"description": "Verb of the request, such as scan."},
    "uuid": {"description": "UUID of the characteristic, or name of the broadcast."},
}

# Version of the MQTT bindings, see https://github.com/asyncapi/bindings.
_BINDING = {"bindingVersion": "0.2.0"}

# For requests: in MQTT 5 they can name the topic of the response and data to correlate it by.
_REPLY = {"responseTopic": {"type": "string"}, "correlationData": {"type": "string"}, **_BINDING}

_STATUS = "status"


def page() -> str:
    """Return the whole document as JSON text."""
    return orjson.dumps(document(load()), option=orjson.OPT_INDENT_2).decode() + "\n"


def document(registry: Registry) -> dict[str, Any]:
    """Return the whole document as JSON values."""
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
        "channels": {channel.name: _channel(channel) for channel in known},
        "operations": dict(map(_operation, known)),
        "components": {
            "messages": {_message_name(channel): _message(channel) for channel in known},
            "schemas": _schemas(registry),
            "correlationIds": {
                "sample": {
                    "description": "Unique within a stream. Every further delivery of the sample, "
                    "on the live topic or the history topic, has the same id.",
                    "location": "$message.payload#/id",
                },
                "request": {
                    "description": "Returned in the response, like the correlation data of MQTT 5.",
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
        "description": f'With [mqtt] version = "{version}" in the settings.',
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
    """Return the name of the message; live and history channels share it."""
    return _STATUS if channel.model is None else channel.model.kind


def _message(channel: Channel) -> dict[str, Any]:
    model = channel.model
    if model is None:
        reference = {"$ref": f"#/components/schemas/{_STATUS}"}
        return {"name": _STATUS, "contentType": "text/plain", "payload": reference}
    found: dict[str, Any] = {
        "name": model.kind,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{model.kind}"},
    }
    if issubclass(model, Request | Response):
        found["correlationId"] = {"$ref": "#/components/correlationIds/request"}
    if issubclass(model, Request):
        found["bindings"] = {"mqtt": _REPLY}
        return found
    found["headers"] = {
        "type": "object",
        "description": "User properties of MQTT 5. MQTT 3.1.1 has none.",
        "properties": {"schema": {"const": f"{model.kind}/{model.schema_version}"}},
    }
    if issubclass(model, Measurement):
        found["correlationId"] = {"$ref": "#/components/correlationIds/sample"}
    return found


def _schemas(registry: Registry) -> dict[str, Any]:
    status: dict[str, Any] = {"type": "string", "enum": ["online", "offline"]}
    return {_STATUS: status} | {
        kind: cast("dict[str, Any]", _as_component(schema))
        for kind, schema in everything(registry)["$defs"].items()
    }


def _as_component(part: object) -> object:
    """Return a part of a schema with its references changed to components.

    The key ``schema`` becomes ``x-schema``: AsyncAPI would take an object with the key ``schema``
    for a wrapper around a schema in another format.
    """
    if isinstance(part, list):
        return [_as_component(item) for item in cast("list[object]", part)]
    if not isinstance(part, dict):
        return part
    found = {key: _as_component(value) for key, value in cast("dict[str, object]", part).items()}
    match found:
        case {"$ref": str(reference)}:
            found["$ref"] = reference.replace("#/$defs/", "#/components/schemas/")
        case {"schema": str(name)}:
            del found["schema"]
            found["x-schema"] = name
        case _:
            pass
    return found
