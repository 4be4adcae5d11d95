"""Reads healthd.toml and ``HEALTHD_…`` variables; refuses them with every error at once."""

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from healthd.errors import Fatal
from healthd.log import get_logger
from healthd.settings.model import Settings, known_keys
from healthd.settings.values import is_longer

ENVIRONMENT_PREFIX = "HEALTHD_"
_MATCHERS = ("address", "name", "service")

# What stands at an unknown key is never shown: it may be a password at a misspelt one.
_UNKNOWN = "an unknown key"

# What pydantic says in terms of Python, said in terms of TOML; by the start of its error's type.
_EXPECTED = (
    ("byte_size", 'a size such as "256MB"'),
    ("model", "a table"),
    ("tuple", "a list"),
    ("bool", "true or false"),
    ("path", "a path, as text"),
    ("string_type", "text"),
)


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


def log_bad_settings(error: Fatal) -> None:
    """Log what is wrong with the settings, one line for each problem."""
    log = get_logger()
    if not isinstance(error, SettingsError):
        log.critical("bad settings", error=str(error))
        return
    for problem in error.problems:
        log.critical(
            "bad setting",
            file=problem.source,
            key=problem.key,
            found=problem.found,
            expected=problem.expected,
        )


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
    problems += _cross_checks(str(path), variables, raw, services)
    if settings is None or problems:
        raise SettingsError(problems)
    return settings


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError([Problem(str(path), "", reason, "a readable TOML file")]) from error
    except (ValueError, RecursionError) as error:
        # Not UTF-8, not TOML, or TOML that only an attacker nests or lengthens like this.
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
            yield Problem("environment", variable, _UNKNOWN, expected)
        elif key not in (known := known_keys((sections[0],))):
            yield Problem("environment", variable, _UNKNOWN, _one_of(key, known))
        elif isinstance(section := raw.setdefault(sections[0], {}), dict):
            cast("dict[str, Any]", section)[key] = _toml_value(text)
            variables[f"{sections[0]}.{key}"] = variable


def _toml_value(text: str) -> Any:
    # Numbers and dates stay text: where a number is wanted, text that spells one is taken.
    if text not in ("true", "false") and not text.startswith(("[", "{", '"', "'")):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(source: str, variables: Mapping[str, str], details: dict[str, Any]) -> Problem:
    location: tuple[Any, ...] = details["loc"]
    key = _key(location)
    if variable := variables.get(_key(location[:2])):
        source, key = "environment", variable
    kind = details["type"]
    if kind == "extra_forbidden":
        expected = _one_of(str(location[-1]), known_keys(location[:-1]))
        return Problem(source, key, _UNKNOWN, expected)
    if kind == "missing":
        return Problem(source, key, "nothing", "a value: this key is required")
    if kind == "value_error":
        expected = str(details["ctx"]["error"])
    else:
        message = details["msg"].removeprefix("Input should be ")
        expected = next((text for name, text in _EXPECTED if kind.startswith(name)), message)
    return Problem(source, key, _shown(details["input"]), expected)


def _shown(value: object) -> str:
    """The value as the user wrote it, as far as it cannot hold a secret."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    # A broker written as a URL may hold user and password.
    return re.sub(r"[^/'\"]*@", "…@", repr(value))


def _one_of(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f' (did you mean "{close[0]}"?)' if close else ""
    return f"one of {', '.join(known)}{hint}"


def _key(location: tuple[Any, ...]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _cross_checks(
    source: str, variables: Mapping[str, str], raw: dict[str, Any], services: Collection[str]
) -> Iterator[Problem]:
    """What no single field can see; works on raw values so that it runs beside other errors."""
    section = raw.get("mqtt")
    mqtt = cast("dict[str, Any]", section) if isinstance(section, dict) else {}

    def problem(key: str, expected: str) -> Problem:
        variable = variables.get(f"mqtt.{key}")
        place = ("environment", variable) if variable else (source, f"mqtt.{key}")
        return Problem(*place, _shown(mqtt[key]), expected)

    for key in ("ca_file", "cert_file", "key_file"):
        if key in mqtt and mqtt.get("tls", False) is False:
            yield problem(key, "tls = true beside it: without TLS nothing is verified")
    if "key_file" in mqtt and "cert_file" not in mqtt:
        yield problem("key_file", "cert_file beside it")
    yield from _peripheral_checks(source, raw, services)


def _company_checks(source: str, place: str, entry: dict[str, Any]) -> Iterator[Problem]:
    """The keys of a peripheral that mean something in company only."""
    periodic = "every" in entry or "on" in entry

    def problem(key: str, expected: str) -> Problem:
        return Problem(source, f"{place}.{key}", _shown(entry[key]), expected)

    if "every" in entry and "on" in entry:
        yield problem("on", "every or on, not both of them")
    if "window" in entry and not periodic:
        yield problem("window", "every or on beside it")
    if "rearm" in entry and "on" not in entry:
        yield problem("rearm", 'on = "advertising" beside it')
    if "silence" in entry and periodic:
        yield problem("silence", "neither every nor on beside it: a run ends by its window")
    if "control" in entry and periodic:
        yield problem("control", "neither every nor on beside it: what is controlled stays linked")
    if is_longer(entry.get("window"), entry.get("every")):
        yield problem("window", "a duration shorter than every")
    for key, other in (("user", "consent_file"), ("consent_file", "user")):
        if key in entry and other not in entry:
            yield problem(key, f"{other} beside it")


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
            yield Problem(source, f"{place}.service", _shown(service), expected)
        yield from _company_checks(source, place, entry)
    for key in ("id", "address"):
        seen: set[str] = set()
        for place, entry in peripherals:
            if key in entry:
                # One address, however it is written.
                value = (
                    str(entry[key]).upper().replace("-", ":") if key == "address" else entry[key]
                )
                if str(value) in seen:
                    expected = "a value that no other peripheral has"
                    yield Problem(source, f"{place}.{key}", _shown(entry[key]), expected)
                seen.add(str(value))
