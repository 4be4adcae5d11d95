"""Reads healthd.toml and ``HEALTHD_…`` variables; refuses them with every error at once."""

import difflib
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from healthd.errors import Fatal
from healthd.settings import Settings, known_keys

ENVIRONMENT_PREFIX = "HEALTHD_"
_MATCHERS = ("address", "name", "service")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        source: the file, or ``environment``.
        key: where, such as ``peripherals[0].address``; empty for the file as a whole.
        found: what stands there, as written.
        expected: what would be accepted.
    """

    source: str
    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        """The problem in one line."""
        place = f"{self.source}: {self.key}" if self.key else self.source
        return f"{place}: found {self.found}, expected {self.expected}"


class SettingsError(Fatal):
    """The settings cannot be used; ``problems`` holds all that is wrong with them."""

    def __init__(self, problems: list[Problem]) -> None:
        """Say every problem, one a line."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def read(path: Path, environ: Mapping[str, str], services: Collection[str]) -> Settings:
    """Read the file, lay the environment over it and check the whole.

    Args:
        path: the TOML file.
        environ: ``HEALTHD_MQTT__BROKERS='["broker:1883"]'`` overrides ``[mqtt] brokers``; two
            underscores part section and key, values are TOML or plain text.
        services: names that ``service = …`` may take.

    Raises:
        SettingsError: with every problem of the file and the environment.
    """
    raw = _parse(path)
    variables: dict[str, str] = {}
    problems = list(_lay_over(raw, environ, variables))
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        problems += [_explain(str(path), variables, dict(one)) for one in error.errors()]
    problems += _cross_checks(str(path), raw, services)
    if settings is None or problems:
        raise SettingsError(problems)
    return settings


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError([Problem(str(path), "", reason, "a readable TOML file")]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([Problem(str(path), "", str(error), "valid TOML")]) from error


def _lay_over(
    raw: dict[str, Any], environ: Mapping[str, str], variables: dict[str, str]
) -> Iterator[Problem]:
    """Put the environment's values into ``raw``, and into ``variables`` which key came from it."""
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        *sections, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        if len(sections) != 1 or sections[0] not in known_keys(()) or sections == ["peripherals"]:
            expected = "HEALTHD_<SECTION>__<KEY> with a section of the file, peripherals excepted"
            yield Problem("environment", variable, repr(text), expected)
        elif key not in (known := known_keys((sections[0],))):
            yield Problem("environment", variable, repr(text), _one_of(key, known))
        elif isinstance(section := raw.setdefault(sections[0], {}), dict):
            cast("dict[str, Any]", section)[key] = _toml_value(text)
            variables[f"{sections[0]}.{key}"] = variable


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(source: str, variables: Mapping[str, str], details: dict[str, Any]) -> Problem:
    location: tuple[Any, ...] = details["loc"]
    key = _key(location)
    if variable := variables.get(_key(location[:2])):
        source, key = "environment", variable
    if details["type"] == "extra_forbidden":
        name = str(location[-1])
        secret = any(word in name.lower() for word in ("password", "secret", "token"))
        found = "a secret" if secret else repr(details["input"])
        return Problem(source, key, found, _one_of(name, known_keys(location[:-1])))
    if details["type"] == "missing":
        return Problem(source, key, "nothing", "a value: this key is required")
    if details["type"] == "value_error":
        expected = str(details["ctx"]["error"])
    elif details["type"].startswith("byte_size"):
        expected = 'a size such as "256MB"'
    else:
        expected = details["msg"].removeprefix("Input should be ")
    return Problem(source, key, repr(details["input"]), expected)


def _one_of(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f' (did you mean "{close[0]}"?)' if close else ""
    return f"one of {', '.join(known)}{hint}"


def _key(location: tuple[Any, ...]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _cross_checks(source: str, raw: dict[str, Any], services: Collection[str]) -> Iterator[Problem]:
    """What no single field can see; works on raw values so that it runs beside other errors."""
    section = raw.get("mqtt")
    mqtt = cast("dict[str, Any]", section) if isinstance(section, dict) else {}
    for key in ("ca_file", "cert_file", "key_file"):
        if key in mqtt and mqtt.get("tls", False) is False:
            expected = "tls = true beside it: without TLS nothing is verified"
            yield Problem(source, f"mqtt.{key}", repr(mqtt[key]), expected)
    if "key_file" in mqtt and "cert_file" not in mqtt:
        yield Problem(source, "mqtt.key_file", repr(mqtt["key_file"]), "cert_file beside it")
    yield from _peripheral_checks(source, raw, services)


def _peripheral_checks(
    source: str, raw: dict[str, Any], services: Collection[str]
) -> Iterator[Problem]:
    entries = raw.get("peripherals", [])
    if not isinstance(entries, list):
        return
    peripherals = [
        (f"peripherals[{index}]", cast("dict[str, Any]", entry))
        for index, entry in enumerate(cast("list[object]", entries))
        if isinstance(entry, dict)
    ]
    for place, entry in peripherals:
        given = [key for key in _MATCHERS if key in entry]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            yield Problem(source, place, found, "exactly one of address, name and service")
        service = entry.get("service")
        if isinstance(service, str) and service not in services:
            expected = _one_of(service, sorted(services))
            yield Problem(source, f"{place}.service", repr(service), expected)
    for key in ("id", "address"):
        values = [(place, str(entry[key]).upper()) for place, entry in peripherals if key in entry]
        counts = Counter(value for _, value in values)
        seen: set[str] = set()
        for place, value in values:
            if counts[value] > 1 and value in seen:
                found = repr(value.lower() if key == "id" else value)
                yield Problem(source, f"{place}.{key}", found, "a value no other peripheral has")
            seen.add(value)
