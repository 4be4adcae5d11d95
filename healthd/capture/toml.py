"""Values of measurements as TOML, in one line."""

from collections.abc import Mapping
from typing import Any, cast

from healthd.printable import toml_escaped


class HasNull(ValueError):
    """A value contains null, which TOML does not have."""


def value(found: object) -> str:
    """Return a value.

    Raises:
        HasNull: it is null, or contains it.
    """
    if found is None:
        raise HasNull
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, int | float):
        return repr(found)
    if isinstance(found, Mapping):
        return table(cast("Mapping[str, object]", found))
    if isinstance(found, list | tuple):
        return f"[{', '.join(value(each) for each in cast('list[object]', found))}]"
    return f'"{toml_escaped(str(found))}"'


def table(fields: Mapping[str, Any]) -> str:
    """Return an inline table; the keys are those of measurements."""
    pairs = ", ".join(f"{key} = {value(each)}" for key, each in fields.items())
    return f"{{ {pairs} }}" if pairs else "{}"


def without_null(fields: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the fields that are not null, and the keys of those that are."""
    kept = {key: each for key, each in fields.items() if each is not None}
    return kept, [key for key, each in fields.items() if each is None]
