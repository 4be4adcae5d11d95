"""``healthd schema``: JSON Schemas of payloads and requests, generated from the models."""

from collections.abc import Mapping
from typing import Any, get_args

import orjson
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticUndefined
from pydantic_core.core_schema import ModelSchema

from healthd.cli.contract.attributes import documented
from healthd.errors import HealthdError
from healthd.events import (
    AdapterEvent,
    ClockEvent,
    ControlEvent,
    FetchEvent,
    Gap,
    LinkEvent,
    OutboxEvent,
)
from healthd.mqtt.payloads import (
    DeviceAnnouncement,
    DeviceInfo,
    GatewayHealth,
    GatewayInfo,
    Payload,
    Response,
)
from healthd.profiles.characteristic import Use
from healthd.profiles.reader import Undecoded
from healthd.profiles.registry import Registry, load
from healthd.samples import ClockState, Measurement
from healthd.verbs import REQUESTS, Request

Model = type[Measurement] | type[Payload] | type[Request]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_REFERENCE = "#/$defs/{model}"

# Events of the gateway, in the order of docs/delivery.md.
EVENTS = (Gap, LinkEvent, FetchEvent, ControlEvent, OutboxEvent, AdapterEvent, ClockEvent)

_PAYLOADS = (DeviceAnnouncement, DeviceInfo, GatewayHealth, GatewayInfo, Response)

# Every sample has these keys; what `healthd decode` prints has none of them.
ENVELOPE: Mapping[str, dict[str, Any]] = {
    "id": {
        "type": "string",
        "description": "Unique within the stream; stays the same when delivered again.",
    },
    "time": {"type": "string", "format": "date-time", "description": "UTC with six decimals."},
    "clock": {"enum": list(get_args(ClockState)), "description": "Whether time is reliable."},
    "seq": {
        "type": "integer",
        "minimum": 1,
        "unit": "1",
        "description": "Number within the stream, without gaps.",
    },
}


class UnknownKind(HealthdError):
    """There is no payload of this kind; the message lists the known ones."""


def schema(kind: str | None) -> str:
    """Return the schema of one kind of payload, or of all kinds, as JSON.

    Args:
        kind: such as ``heart_rate`` or ``health``; None for one document with all kinds in
            ``$defs``.

    Raises:
        UnknownKind: there is no such kind.
    """
    registry = load()
    if kind is None:
        document = everything(registry)
    elif model := measurements(registry).get(kind):
        document = {"$schema": DIALECT, **measurement_schema(model, registry)}
    elif payload := payloads().get(kind):
        document = {"$schema": DIALECT, **payload_schema(payload, registry)}
    elif request := requests().get(kind):
        document = {"$schema": DIALECT, **request_schema(request)}
    else:
        known = ", ".join([*measurements(registry), *payloads(), *requests()])
        raise UnknownKind(f"found {kind[:40]!r}, expected a kind of payload: {known}")
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


def measurements(registry: Registry) -> dict[str, type[Measurement]]:
    """Return every kind of measurement, in alphabetical order.

    This includes kinds that are not streams: facts about a device and messages of control points,
    which ``healthd decode`` decodes.
    """
    models: list[type[Measurement]] = [*EVENTS, Undecoded]
    models += [source.model for source in registry.sources]
    models += [model for profile in registry.profiles.values() for model in profile.derived]
    return {model.kind: model for model in sorted(models, key=lambda model: model.kind)}


def published(registry: Registry) -> dict[str, type[Measurement]]:
    """Return the kinds of measurement that are streams of devices, in alphabetical order."""
    models = [source.model for source in registry.sources if source.use in (Use.STREAM, Use.STATUS)]
    models += [model for profile in registry.profiles.values() for model in profile.derived]
    return {model.kind: model for model in sorted(models, key=lambda model: model.kind)}


def model_schema(model: type[Measurement]) -> dict[str, Any]:
    """Return the schema of a measurement's own keys: what ``healthd decode`` prints.

    Quantities have a ``unit``, and codes if they are certain. A key that is not required is absent
    if it was not in the packet: there are no defaults.
    """
    return _generated(model) | {"retained": model.retained}


def measurement_schema(model: type[Measurement], registry: Registry) -> dict[str, Any]:
    """Return a measurement's schema; one that is published as samples also has their first keys."""
    found = model_schema(model)
    if _is_sample(model, registry):
        found["properties"] = {**ENVELOPE, **found["properties"]}
        found["required"] = [*ENVELOPE, *found.get("required", ())]
    return found


def _is_sample(model: type[Measurement], registry: Registry) -> bool:
    return model in (*EVENTS, Undecoded) or model.kind in published(registry)


def payloads() -> dict[str, type[Payload]]:
    """Return the payloads about the gateway and devices, and responses, in alphabetical order."""
    return {model.kind: model for model in _PAYLOADS}


def payload_schema(model: type[Payload], registry: Registry) -> dict[str, Any]:
    """Return a payload's schema; a device's also has the facts that its profiles can read."""
    found = _generated(model) | {"retained": model.retained}
    return _with_facts(found, registry) if model is DeviceInfo else found


def requests() -> dict[str, type[Request]]:
    """Return the kinds of request."""
    return {model.kind: model for model in REQUESTS.values()}


def request_schema(model: type[Request]) -> dict[str, Any]:
    """Return a request's schema; keys that are not required have their defaults."""
    found = _generated(model)
    for key, field in found["properties"].items():
        if (default := model.model_fields[key].default) not in (None, PydanticUndefined):
            field["default"] = default
    return found


def everything(registry: Registry) -> dict[str, Any]:
    """Return one document with every kind of measurement, payload and request in ``$defs``."""
    found = {
        kind: measurement_schema(model, registry) for kind, model in measurements(registry).items()
    }
    found |= {kind: payload_schema(model, registry) for kind, model in payloads().items()}
    found |= {kind: request_schema(model) for kind, model in requests().items()}
    parts: dict[str, Any] = {}
    for kind, definition in found.items():
        # Parts that several kinds share, such as a battery. Their names start with a
        # capital letter, so they never collide with kinds.
        parts |= definition.pop("$defs", {})
        parts[kind] = definition
    return {
        "$schema": DIALECT,
        "title": "healthd",
        "description": "All payloads. The kind of a sample is the last level of its live topic.",
        "anyOf": [{"$ref": _REFERENCE.format(model=kind)} for kind in found],
        "$defs": parts,
    }


def _with_facts(found: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """Add facts about a device: identity at the top level, others under the name of their kind."""
    facts: dict[str, Any] = {}
    parts: dict[str, Any] = found["$defs"]
    reported = [source.model for source in registry.sources if source.in_info]
    derived = [model for profile in registry.profiles.values() for model in profile.derived]
    for model in (*reported, *(model for model in derived if model.is_event)):
        kind, schema = model.kind, model_schema(model)
        parts |= schema.pop("$defs", {})
        if model.identifies:
            own = model.model_fields.keys() - Measurement.model_fields.keys()
            facts |= {key: field for key, field in schema["properties"].items() if key in own}
        elif _is_sample(model, registry):
            # As a fact, without the first keys of a sample.
            parts[model.__name__] = schema
            facts[kind] = {"$ref": _REFERENCE.format(model=model.__name__)}
        else:
            parts[kind] = schema
            facts[kind] = {"$ref": _REFERENCE.format(model=kind)}
    found["properties"] |= dict(sorted(facts.items()))
    del found["additionalProperties"]
    return found


class _Documented(GenerateJsonSchema):
    """A generator that adds the docstrings of fields as descriptions."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        texts = documented(schema["cls"])
        for key, field in found["properties"].items():
            if text := texts.get(key):
                field.setdefault("description", text)
        found["properties"] = {
            key: _without_default(field) for key, field in found["properties"].items()
        }
        # The next version of healthd may publish more keys. In requests, a key that this version
        # does not know is an error.
        if found.get("additionalProperties") is False and not issubclass(schema["cls"], Request):
            del found["additionalProperties"]
        return found


def _generated(model: Model) -> dict[str, Any]:
    found = model.model_json_schema(
        mode="serialization", ref_template=_REFERENCE, schema_generator=_Documented
    )
    return found | {"title": model.kind, "schema": f"{model.kind}/{model.schema_version}"}


def _without_default(field: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in field.items() if key not in ("default", "title")}
