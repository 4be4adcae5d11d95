"""``healthd schema``: what is published, and may be asked for, as JSON Schema from the models."""

from typing import Any, TextIO, get_args

import orjson
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticUndefined
from pydantic_core.core_schema import ModelSchema

from healthd.cli.contract.attributes import documented
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

# The gateway's own, in the order in which docs/delivery.md tells of them.
EVENTS = (Gap, LinkEvent, FetchEvent, ControlEvent, OutboxEvent, AdapterEvent, ClockEvent)

_PAYLOADS = (DeviceAnnouncement, DeviceInfo, GatewayHealth, GatewayInfo, Response)

# Every sample has them; what `healthd decode` prints has none, therefore they are not required.
_ENVELOPE = {
    "id": {"type": "string", "description": "Unique within its stream; the same when sent again."},
    "time": {"type": "string", "format": "date-time", "description": "UTC, six decimals."},
    "clock": {"enum": list(get_args(ClockState)), "description": "Whether time can be believed."},
    "seq": {"type": "integer", "minimum": 1, "unit": "1", "description": "Without holes."},
}


def schema(kind: str | None, out: TextIO, errors: TextIO) -> int:
    """Write the schema of one kind of payload, or of all of them.

    Args:
        kind: such as ``heart_rate`` or ``health``; None for one document with all of them in
            ``$defs``.
        out: the JSON document.
        errors: where an unknown kind is told.

    Returns:
        Exit code: 0, or 1 where there is no such kind.
    """
    registry = load()
    if kind is None:
        document = everything(registry)
    elif model := measurements(registry).get(kind):
        document = {"$schema": DIALECT, **model_schema(model)}
    elif payload := payloads().get(kind):
        document = {"$schema": DIALECT, **payload_schema(payload, registry)}
    elif request := requests().get(kind):
        document = {"$schema": DIALECT, **request_schema(request)}
    else:
        known = ", ".join([*measurements(registry), *payloads(), *requests()])
        errors.write(f"found {kind[:40]!r}, expected a kind of payload: {known}\n")
        return 1
    out.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    return 0


def measurements(registry: Registry) -> dict[str, type[Measurement]]:
    """Every kind of measurement that there is, in alphabetical order.

    Also those that are no stream: facts of a device, and messages of control points, which
    ``healthd decode`` reads.
    """
    models: list[type[Measurement]] = [*EVENTS, Undecoded]
    models += [one.model for one in registry.characteristics.values()]
    models += [model for profile in registry.profiles.values() for model in profile.derived]
    return {model.kind: model for model in sorted(models, key=lambda model: model.kind)}


def model_schema(model: type[Measurement]) -> dict[str, Any]:
    """A measurement's schema; each quantity has its ``unit``, and its codes where certain.

    A key that is not required is absent where the packet did not hold it: it has no default.
    """
    found = _generated(model)
    found["properties"] = _ENVELOPE | found["properties"]
    return found | {"retained": model.retained}


def payloads() -> dict[str, type[Payload]]:
    """What a gateway says of itself and of devices, and to who asks, in alphabetical order."""
    return {model.kind: model for model in _PAYLOADS}


def payload_schema(model: type[Payload], registry: Registry) -> dict[str, Any]:
    """A payload's schema; that of a device has what its profiles may tell about it, too."""
    found = _generated(model) | {"retained": model.retained}
    return _with_facts(found, registry) if model is DeviceInfo else found


def requests() -> dict[str, type[Request]]:
    """What may be asked for."""
    return {model.kind: model for model in REQUESTS.values()}


def request_schema(model: type[Request]) -> dict[str, Any]:
    """A request's schema; a key that is not required has its default."""
    found = _generated(model)
    for key, field in found["properties"].items():
        if (default := model.model_fields[key].default) not in (None, PydanticUndefined):
            field["default"] = default
    return found


def everything(registry: Registry) -> dict[str, Any]:
    """One document with every kind of measurement, payload and request in ``$defs``."""
    found = {kind: model_schema(model) for kind, model in measurements(registry).items()}
    found |= {kind: payload_schema(model, registry) for kind, model in payloads().items()}
    found |= {kind: request_schema(model) for kind, model in requests().items()}
    parts: dict[str, Any] = {}
    for kind, one in found.items():
        # Parts that several share, such as a device's time stamp. Their names are in capitals,
        # those of kinds are not.
        parts |= one.pop("$defs", {})
        parts[kind] = one
    return {
        "$schema": DIALECT,
        "title": "healthd",
        "description": "Every payload; a sample's kind is the last level of its live topic.",
        "anyOf": [{"$ref": _REFERENCE.format(model=kind)} for kind in found],
        "$defs": parts,
    }


def _with_facts(found: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """What identifies a device stands beside its name, other facts under their kind's name."""
    facts: dict[str, Any] = {}
    parts: dict[str, Any] = found["$defs"]
    for one in registry.characteristics.values():
        kind, schema = one.model.kind, model_schema(one.model)
        if one.use not in (Use.STATIC, Use.STATUS):
            continue
        parts |= schema.pop("$defs", {})
        if one.model.identifies:
            own = one.model.model_fields.keys() - Measurement.model_fields.keys()
            facts |= {key: field for key, field in schema["properties"].items() if key in own}
        else:
            parts[kind] = schema
            facts[kind] = {"$ref": _REFERENCE.format(model=kind)}
    found["properties"] |= dict(sorted(facts.items()))
    return found | {"additionalProperties": False}


class _Documented(GenerateJsonSchema):
    """Also says of each key what stands below its field in the source."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        for key, text in documented(schema["cls"]).items():
            found["properties"][key].setdefault("description", text)
        found["properties"] = {
            key: _without_default(field) for key, field in found["properties"].items()
        }
        return found


def _generated(model: Model) -> dict[str, Any]:
    found = model.model_json_schema(
        mode="serialization", ref_template=_REFERENCE, schema_generator=_Documented
    )
    return found | {"title": model.kind, "schema": f"{model.kind}/{model.schema_version}"}


def _without_default(field: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in field.items() if key not in ("default", "title")}
