"""Environment variables that override the settings: ``HEALTHD_<SECTION>__<KEY>``."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel

from healthd.settings.model import LISTS, Settings, known_keys
from healthd.settings.problems import UNKNOWN, Problem, one_of

_PREFIX = "HEALTHD_"
_SEPARATOR = "__"

# The spellings of YAML, systemd and shell scripts, in any case.
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def ignored_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that begin like healthd's, but have no section and key.

    Platforms inject these: for a service named "healthd", Kubernetes sets ``HEALTHD_PORT``,
    ``HEALTHD_SERVICE_HOST``, ``HEALTHD_PORT_1883_TCP_ADDR`` and more in every container.
    """
    return sorted(name for name in environ if name.startswith(_PREFIX) and not _is_override(name))


def override(
    raw: dict[str, Any], environ: Mapping[str, str], variables: dict[str, str]
) -> Iterator[Problem]:
    """Put the environment's values into the settings, and yield what is wrong with them.

    Args:
        raw: the settings as parsed from the file; changed in place.
        environ: the environment.
        variables: receives the variable of each key that was set, such as ``mqtt.tls``.
    """
    for variable, text in sorted(environ.items()):
        if not _is_override(variable):
            continue
        *sections, key = variable.removeprefix(_PREFIX).lower().split(_SEPARATOR)
        if len(sections) != 1 or sections[0] not in known_keys(()) or sections[0] in LISTS:
            others = "other than peripherals and people"
            expected = f"HEALTHD_<SECTION>__<KEY> with a section of the file {others}"
            yield Problem("environment", variable, UNKNOWN, expected)
        elif key not in (known := known_keys((sections[0],))):
            yield Problem("environment", variable, UNKNOWN, one_of(key, known))
        elif isinstance(section := raw.setdefault(sections[0], {}), dict):
            cast("dict[str, Any]", section)[key] = _value(text, _shape(sections[0], key))
            variables[f"{sections[0]}.{key}"] = variable


def spelling(variable: str) -> str:
    """Return how the value of a variable is written, with an example; empty for plain text."""
    section, key = variable.removeprefix(_PREFIX).lower().split(_SEPARATOR)
    match _shape(section, key):
        case "list":
            return f"; a list is written {variable}=one,two"
        case "boolean":
            return f": {variable}=true"
        case _:
            return ""


def _is_override(name: str) -> bool:
    return name.startswith(_PREFIX) and _SEPARATOR in name


def _shape(section: str, key: str) -> Literal["list", "boolean", "text"]:
    model = cast("type[BaseModel]", Settings.model_fields[section].annotation)
    kind: Any = model.model_fields[key].annotation
    # An optional key is a union with None.
    kinds: list[Any] = [kind, *get_args(kind)]
    if any(get_origin(kind) is tuple for kind in kinds):
        return "list"
    return "boolean" if bool in kinds else "text"


def _value(text: str, shape: Literal["list", "boolean", "text"]) -> Any:
    value = _toml_value(text)
    if not isinstance(value, str):
        return value
    if shape == "boolean":
        word = value.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else value
    if shape == "list":
        return [item for part in value.split(",") if (item := part.strip())]
    return value


def _toml_value(text: str) -> Any:
    # Numbers and dates stay text: pydantic accepts text where a number is expected.
    if text not in ("true", "false") and not text.startswith(("[", "{", '"', "'")):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
