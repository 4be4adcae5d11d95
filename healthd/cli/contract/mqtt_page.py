"""``healthd schema --format mqtt``: docs/mqtt.md, from the channels and the template mqtt.md."""

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

from healthd.cli.contract.channels import (
    TOPICS,
    Channel,
    for_home_assistant,
    of_devices,
    of_requests,
    of_the_gateway,
    streams_of_devices,
)
from healthd.cli.contract.reference import fields_of, table
from healthd.cli.contract.schema import (
    ENVELOPE,
    EVENTS,
    measurement_schema,
    model_schema,
    payload_schema,
    published,
    request_schema,
)
from healthd.mqtt.payloads import DeviceInfo, GatewayHealth, GatewayInfo, Payload, Response
from healthd.profiles.reader import Undecoded
from healthd.profiles.registry import Registry, load
from healthd.samples import Measurement
from healthd.verbs import REQUESTS, Request

# Lines of the template that are replaced by tables.
_SLOT = re.compile(r"^<!-- (\w+) -->$", re.MULTILINE)

_HEAD = ("key", "is", "unit", "")

# Examples of streams in the table of topics: a continuous stream, its history, a retained result,
# the same for one person, and undecoded values.
_EXAMPLES = ("heart_rate", "heart_rate_history", "weight", "person_weight", "undecoded")


def page() -> str:
    """Return the whole page in Markdown."""
    registry = load()
    parts = {
        "topics": _topics(registry),
        "envelope": _envelope(registry),
        "info": _payload(GatewayInfo, registry),
        "health": _payload(GatewayHealth, registry),
        "device_info": _payload(DeviceInfo, registry),
        "events": _events(),
        "requests": _requests(),
        "response": _payload(Response, registry),
        "streams": _streams(registry),
    }
    text = resources.files(__package__ or "").joinpath("mqtt.md").read_text(encoding="utf-8")
    return _SLOT.sub(lambda slot: "\n".join(parts.pop(slot[1])), text)


def _topics(registry: Registry) -> Iterator[str]:
    streams = {channel.name: channel for channel in streams_of_devices(registry)}
    examples = (streams[name] for name in _EXAMPLES)
    responses = (channel for channel in of_requests() if not channel.is_request)
    request = (
        f"`{TOPICS.request('{verb}')}`",
        "A [request](#requests) to healthd.",
        "JSON",
        "",
        "",
        "",
    )
    rows = (
        *map(_row, (*of_the_gateway(), *of_devices())),
        request,
        *map(_row, (*responses, *examples, *for_home_assistant())),
    )
    yield from table(("topic", "", "payload", "`schema`", "retained", "expires"), rows)


def _row(channel: Channel) -> tuple[str, ...]:
    model, expires_s = channel.model, channel.expires_s
    return (
        f"`{channel.address}`",
        channel.summary,
        "`online`, `offline`" if model is None else "JSON",
        "" if model is None else f"`{model.kind}/{model.schema_version}`",
        "yes" if channel.retained else "",
        "" if expires_s is None else f"{expires_s} s",
    )


def _envelope(registry: Registry) -> Iterator[str]:
    found = measurement_schema(Undecoded, registry)
    keys = (*ENVELOPE, *Measurement.model_fields)
    yield from _rows({key: found["properties"][key] for key in keys}, found)


def _payload(model: type[Payload], registry: Registry) -> Iterator[str]:
    found = payload_schema(model, registry)
    own = {key: found["properties"][key] for key in model.model_fields}
    yield from _rows(own, found)


def _events() -> Iterator[str]:
    for model in EVENTS:
        text = " ".join((model.__doc__ or "").replace("``", "`").split())
        yield f"\n### `event/{model.kind}`\n\n{text}\n"
        found = model_schema(model)
        common = Measurement.model_fields.keys()
        own = {key: field for key, field in found["properties"].items() if key not in common}
        yield from _rows(own, found)


def _requests() -> Iterator[str]:
    rows: list[tuple[str, ...]] = []
    keys: dict[str, tuple[str, ...]] = {}
    for verb, model in REQUESTS.items():
        found = request_schema(model)
        fields = {key: _with_default(field) for key, field in found["properties"].items()}
        common, required = Request.model_fields.keys(), found.get("required", ())
        own = (
            f"`{key}`" if key in required else f"[`{key}`]" for key in fields if key not in common
        )
        rows.append((f"`{verb}`", " ".join((model.__doc__ or "").split()), ", ".join(own)))
        keys |= {row[0]: row for row in fields_of(fields, found, codes=("unit",))}
    yield from table(("verb", "", "keys"), rows)
    yield ""
    yield from table(_HEAD, keys.values())


def _with_default(field: dict[str, Any]) -> dict[str, Any]:
    if "default" not in field:
        return field
    sentences = (field.get("description", ""), f"Default: {field['default']}.")
    return field | {"description": " ".join(filter(None, sentences))}


def _streams(registry: Registry) -> Iterator[str]:
    models = published(registry).values()
    for retained, text in ((True, "Results, retained"), (False, "Never retained")):
        names = [f"`{model.kind}`" for model in models if model.retained is retained]
        yield f"{text}: {', '.join(names)}."
        yield ""


def _rows(fields: dict[str, Any], root: dict[str, Any]) -> Iterator[str]:
    yield from table(_HEAD, fields_of(fields, root, codes=("unit",)))
