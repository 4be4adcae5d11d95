"""``healthd schema --format markdown``: docs/profiles.md, from what the profiles declare."""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from healthd.cli.contract.schema import model_schema
from healthd.profiles.characteristic import Profile, Use
from healthd.profiles.quirks import QUIRKS, Quirk
from healthd.profiles.registry import load
from healthd.samples import ENVELOPE_KEYS, Measurement

_HEAD = """\
# Profiles

Made by `healthd schema --format markdown > docs/profiles.md`; a test compares. What healthd reads,
by GATT service: the name of each is what `service = "…"` takes in the settings.

A key says its unit; the tables give the UCUM code, and IEEE 11073 MDC and LOINC codes where they
are certain. `null` is the device's "not available"; a key that was not in the packet is absent.
Beside its own keys a measurement may have `truncated` (the packet ended before what its flags
promised) and `trailing_bytes` (how many bytes were left behind the last field)."""

_QUIRKS = """
## Devices that differ

Told apart by what they advertise and by their Device Information; patterns as in a shell, in any
case.
"""

_USES = {
    Use.STREAM: "streamed",
    Use.STATUS: "read, then followed",
    Use.STATIC: "read once a link, for `info`",
    Use.CONTROL: "written to, and its answers",
}

_TYPES = {"string": "text", "boolean": "true or false"}


def page() -> str:
    """The whole page, in Markdown."""
    seen: set[type[Measurement]] = set()
    lines = [_HEAD]
    for profile in load().profiles.values():
        lines += _profile(profile, seen)
    lines += [_QUIRKS, *table(("characteristic", "devices", "what", "seen in"), map(_row, QUIRKS))]
    return "\n".join(lines) + "\n"


def _profile(profile: Profile, seen: set[type[Measurement]]) -> Iterator[str]:
    yield f"\n## {profile.name}\n\nService `{profile.service}`.\n"
    rows = [
        (f"`{one.uuid}`", f"`{one.model.kind}`", _USES[one.use]) for one in profile.characteristics
    ]
    rows += [("", f"`{model.kind}`", "derived") for model in profile.derived]
    yield from table(("characteristic", "measurement", "use"), rows)
    for model in (*(one.model for one in profile.characteristics), *profile.derived):
        # Several services share a control point, or a location.
        if model not in seen:
            seen.add(model)
            yield from _measurement(model)


def _measurement(model: type[Measurement]) -> Iterator[str]:
    yield f"\n### `{model.kind}`\n\n{inspect.cleandoc(model.__doc__ or '')}\n"
    found = model_schema(model)
    own = found["properties"].keys() - ENVELOPE_KEYS - Measurement.model_fields.keys()
    fields = {key: field for key, field in found["properties"].items() if key in own}
    rows = (row[:-1] for row in fields_of(fields, found))
    yield from table(("field", "is", "unit", "MDC", "LOINC"), rows)


def fields_of(
    fields: dict[str, Any],
    root: dict[str, Any],
    within: str = "",
    codes: Sequence[str] = ("unit", "mdc", "loinc"),
) -> Iterator[tuple[str, ...]]:
    """Rows of a table: key, type, codes and description of each field, and of those inside it."""
    for key, field in fields.items():
        cells = (str(field.get(code, "")) for code in codes)
        row = (f"`{within}{key}`", _type(field), *(cell and f"`{cell}`" for cell in cells))
        yield (*row, field.get("description", "").replace("``", "`"))
        for part in _parts(field, root):
            yield from fields_of(part["properties"], root, f"{within}{key}.", codes)


def _parts(field: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects that may stand in a field, inside lists too."""
    if reference := field.get("$ref"):
        yield root["$defs"][reference.rpartition("/")[2]]
    for inside in (*field.get("anyOf", ()), *filter(None, [field.get("items")])):
        yield from _parts(inside, root)


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{word}`" for word in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        items = _type(field.get("items", {}))
        several = " or " in items or ", " in items
        return f"list of ({items})" if several else f"list of {items}"
    type_: str = field.get("type", "object")
    return _TYPES.get(type_, type_)


def _row(quirk: Quirk) -> tuple[str, ...]:
    whose = {"name": quirk.name, "maker": quirk.maker, "model": quirk.model}
    devices = ", ".join(f"{what} `{pattern}`" for what, pattern in whose.items() if pattern)
    return f"`{quirk.uuid}`", devices, quirk.title, quirk.source


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
