"""Read healthd.toml and ``HEALTHD_…`` variables, and report all errors at once."""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from healthd.settings.brokers import is_encrypted_url, is_plain_url
from healthd.settings.environment import override, spelling
from healthd.settings.model import Settings, known_keys
from healthd.settings.people import people_checks, without_private
from healthd.settings.problems import UNKNOWN, NoSettings, Problem, SettingsError, one_of
from healthd.settings.text import read_text
from healthd.settings.values import is_no_shorter

_MATCHERS = ("address", "name", "service")

# TOML terms instead of pydantic's Python terms, by the start of pydantic's error type.
_EXPECTED = (
    ("byte_size", 'a size such as "256MB"'),
    ("model", "a table"),
    ("dict", "a table"),
    ("tuple", "a list"),
    ("bool", "true or false"),
    ("path", "a path as a string"),
    ("string_type", "a string"),
)


def read(path: Path, environ: Mapping[str, str], services: Collection[str]) -> Settings:
    """Read the file, apply the overrides from the environment, and check the result.

    Args:
        path: the TOML file.
        environ: ``HEALTHD_MQTT__BROKERS=broker:1883`` overrides ``[mqtt] brokers``; two
            underscores separate section and key, values are plain text or TOML.
        services: the accepted values of ``service = …``.

    Raises:
        SettingsError: with every problem of the file and the environment.
    """
    raw = _parse(path)
    variables: dict[str, str] = {}
    problems = list(override(raw, environ, variables))
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        problems += [_explain(str(path), variables, dict(details)) for details in error.errors()]
    problems += _cross_checks(str(path), variables, raw, services)
    if settings is None or problems:
        raise SettingsError(problems)
    return settings


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = read_text(path)
        if not text.strip("\0 \t\r\n"):
            raise _no_settings(path, "a file of NUL bytes" if "\0" in text else "an empty file")
        raw = tomllib.loads(text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError([Problem(str(path), "", reason, "a readable TOML file")]) from error
    except (ValueError, RecursionError) as error:
        # Not UTF-8, not TOML, or TOML nested too deeply or with too long numbers.
        raise SettingsError([Problem(str(path), "", str(error), "valid TOML")]) from error
    if not _has_key(raw):
        raise _no_settings(path, "no key, only comments or empty sections")
    return raw


def _no_settings(path: Path, found: str) -> NoSettings:
    """Return the error for a file without settings, which would otherwise remove everything.

    After a power cut a file that was just written may be empty or full of NUL bytes. Taken for
    settings without peripherals, it would clear the retained results of all of them.
    """
    expected = (
        "at least one key, such as id in [gateway]; a power cut can empty a file that was just "
        "written: restore it from a backup, or write the settings again"
    )
    return NoSettings([Problem(str(path), "", found, expected)])


def _has_key(value: object) -> bool:
    if not isinstance(value, dict):
        return True
    return any(_has_key(item) for item in cast("dict[str, object]", value).values())


def _explain(source: str, variables: Mapping[str, str], details: dict[str, Any]) -> Problem:
    location: tuple[Any, ...] = details["loc"]
    key, example = _key(location), ""
    if variable := variables.get(_key(location[:2])):
        source, key, example = "environment", variable, spelling(variable)
    kind = details["type"]
    if kind == "extra_forbidden":
        expected = one_of(str(location[-1]), known_keys(location[:-1]))
        return Problem(source, key, UNKNOWN, expected)
    if kind == "missing":
        return Problem(source, key, "nothing", "a value: this key is required")
    if kind == "value_error":
        expected = str(details["ctx"]["error"])
    else:
        message = details["msg"].removeprefix("Input should be ")
        expected = next((text for name, text in _EXPECTED if kind.startswith(name)), message)
    shown = without_private if location[0] == "people" else _shown
    return Problem(source, key, shown(details["input"]), expected + example)


def _shown(value: object) -> str:
    """Return the value as the user wrote it, without parts that may be secret."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    # A broker written as a URL may contain user and password.
    return re.sub(r"[^/'\"]*@", "…@", repr(value))


def _key(location: tuple[Any, ...]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _cross_checks(
    source: str, variables: Mapping[str, str], raw: dict[str, Any], services: Collection[str]
) -> Iterator[Problem]:
    """Check keys against each other; on raw values, so that it works despite other errors."""
    section = raw.get("mqtt")
    mqtt = cast("dict[str, Any]", section) if isinstance(section, dict) else {}

    def problem(key: str, expected: str) -> Problem:
        variable = variables.get(f"mqtt.{key}")
        place = ("environment", variable) if variable else (source, f"mqtt.{key}")
        return Problem(*place, _shown(mqtt[key]), expected)

    listed = mqtt.get("brokers")
    brokers = cast("list[object]", listed) if isinstance(listed, list) else []
    for key in ("ca_file", "cert_file", "key_file", "alpn"):
        if key in mqtt and not mqtt.get("tls", False) and not any(map(is_encrypted_url, brokers)):
            yield problem(key, "tls = true as well: without TLS it is not used")
    if mqtt.get("tls", False) is True and any(map(is_plain_url, brokers)):
        yield problem("brokers", "mqtts:// and wss:// as well as tls = true, or no scheme")
    if "key_file" in mqtt and "cert_file" not in mqtt:
        yield problem("key_file", "cert_file as well")
    yield from _peripheral_checks(source, raw, services)
    yield from people_checks(source, raw)


def _combination_checks(source: str, place: str, entry: dict[str, Any]) -> Iterator[Problem]:
    """Check the keys of a peripheral that require or exclude other keys."""
    periodic = "every" in entry or "on" in entry

    def problem(key: str, expected: str) -> Problem:
        return Problem(source, f"{place}.{key}", _shown(entry[key]), expected)

    if "every" in entry and "on" in entry:
        yield problem("on", "every or on, not both")
    if "window" in entry and not periodic:
        yield problem("window", "every or on as well")
    if "rearm" in entry and "on" not in entry:
        yield problem("rearm", 'on = "advertising" as well')
    if "silence" in entry and periodic:
        yield problem("silence", "neither every nor on as well: window ends a run")
    if "start" in entry and periodic:
        yield problem("start", "neither every nor on as well: a started machine stays linked")
    if "control" in entry and periodic:
        yield problem("control", "neither every nor on as well: a controlled device stays linked")
    if is_no_shorter(entry.get("window"), entry.get("every")):
        yield problem("window", "a duration shorter than every")
    for key, other in (("user", "consent_file"), ("consent_file", "user")):
        if key in entry and other not in entry:
            yield problem(key, f"{other} as well")


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
            expected = one_of(service, sorted(services))
            yield Problem(source, f"{place}.service", _shown(service), expected)
        yield from _combination_checks(source, place, entry)
    for key in ("id", "address"):
        seen: set[str] = set()
        for place, entry in peripherals:
            if key in entry:
                # An address can be written in several ways.
                value = (
                    str(entry[key]).upper().replace("-", ":") if key == "address" else entry[key]
                )
                if str(value) in seen:
                    expected = "a value that no other peripheral uses"
                    yield Problem(source, f"{place}.{key}", _shown(entry[key]), expected)
                seen.add(str(value))
