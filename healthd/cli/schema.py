"""``healthd schema``: what is published, as JSON Schema, from the models that are published."""

from typing import Any, TextIO, get_args

import orjson

from healthd.events import AdapterEvent, ClockEvent, FetchEvent, Gap, LinkEvent, OutboxEvent
from healthd.profiles.reader import Undecoded
from healthd.profiles.registry import Registry, load
from healthd.samples import ClockState, Measurement

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_REFERENCE = "#/$defs/{model}"

# The gateway's own, in the order in which docs/delivery.md tells of them.
_OF_THE_GATEWAY = (Gap, LinkEvent, FetchEvent, OutboxEvent, AdapterEvent, ClockEvent, Undecoded)

# Every sample has them; what `healthd decode` prints has none, therefore they are not required.
_ENVELOPE = {
    "id": {"type": "string", "description": "Unique within its stream; the same when sent again."},
    "time": {"type": "string", "format": "date-time", "description": "UTC, six decimals."},
    "clock": {"enum": list(get_args(ClockState)), "description": "Whether time can be believed."},
    "seq": {"type": "integer", "minimum": 1, "unit": "1", "description": "Without holes."},
}


def schema(kind: str | None, out: TextIO, errors: TextIO) -> int:
    """Write the schema of one kind of measurement, or of all of them.

    Args:
        kind: such as ``heart_rate``; None for one document with all of them in ``$defs``.
        out: the JSON document.
        errors: where an unknown kind is told.

    Returns:
        Exit code: 0, or 1 where there is no such kind.
    """
    models = measurements(load())
    if kind is None:
        document = _everything(models)
    elif model := models.get(kind):
        document = {"$schema": DIALECT, **model_schema(model)}
    else:
        known = ", ".join(models)
        errors.write(f"found {kind[:40]!r}, expected a kind of measurement: {known}\n")
        return 1
    out.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    return 0


def measurements(registry: Registry) -> dict[str, type[Measurement]]:
    """Every kind of measurement that there is, in alphabetical order.

    Also those that are no stream: facts of a device, and messages of control points, which
    ``healthd decode`` reads.
    """
    models: list[type[Measurement]] = [*_OF_THE_GATEWAY]
    models += [one.model for one in registry.characteristics.values()]
    models += [model for profile in registry.profiles.values() for model in profile.derived]
    return {model.kind: model for model in sorted(models, key=lambda model: model.kind)}


def model_schema(model: type[Measurement]) -> dict[str, Any]:
    """A measurement's schema; each quantity has its ``unit``, and its codes where certain.

    A key that is not required is absent where the packet did not hold it: it has no default.
    """
    found = model.model_json_schema(mode="serialization", ref_template=_REFERENCE)
    properties = {key: _without_default(field) for key, field in found["properties"].items()}
    found |= {"title": model.kind, "properties": _ENVELOPE | properties}
    return found | {"schema": f"{model.kind}/{model.schema_version}", "retained": model.retained}


def _everything(models: dict[str, type[Measurement]]) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for kind, model in models.items():
        parts[kind] = one = model_schema(model)
        # Parts that several share, such as a device's time stamp. Their names are in capitals,
        # those of kinds are not.
        parts |= one.pop("$defs", {})
    return {
        "$schema": DIALECT,
        "title": "healthd",
        "description": "Every measurement; a sample's kind is the last level of its topic.",
        "anyOf": [{"$ref": _REFERENCE.format(model=kind)} for kind in models],
        "$defs": parts,
    }


def _without_default(field: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in field.items() if key not in ("default", "title")}
