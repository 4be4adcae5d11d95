"""Read healthd.toml and ``HEALTHD_…`` variables, and report all errors at once."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from healthd.settings.brokers import is_encrypted_url, is_plain_url
from healthd.settings.environment import override, spelling
from healthd.settings.model import Settings, known_keys
from healthd.settings.people import people_checks, without_private
from healthd.settings.peripherals import Kind, capture_checks, peripheral_checks
from healthd.settings.problems import (
    UNKNOWN,
    NoSettings,
    Problem,
    SettingsError,
    one_of,
    shown,
)
from healthd.settings.text import read_text

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


def read(path: Path, environ: Mapping[str, str], services: Mapping[str, Kind]) -> Settings:
    """Read the file, apply the overrides from the environment, and check the result.

    Args:
        path: the TOML file.
        environ: ``HEALTHD_MQTT__BROKERS=broker:1883`` overrides ``[mqtt] brokers``; two
            underscores separate section and key, values are plain text or TOML.
        services: the accepted values of ``service = …``, and what they mean.

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
    describe = without_private if location[0] == "people" else shown
    return Problem(source, key, describe(details["input"]), expected + example)


def _key(location: tuple[Any, ...]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _cross_checks(
    source: str, variables: Mapping[str, str], raw: dict[str, Any], services: Mapping[str, Kind]
) -> Iterator[Problem]:
    """Check keys against each other; on raw values, so that it works despite other errors."""
    section = raw.get("mqtt")
    mqtt = cast("dict[str, Any]", section) if isinstance(section, dict) else {}

    def problem(key: str, expected: str) -> Problem:
        variable = variables.get(f"mqtt.{key}")
        place = ("environment", variable) if variable else (source, f"mqtt.{key}")
        return Problem(*place, shown(mqtt[key]), expected)

    listed = mqtt.get("brokers")
    brokers = cast("list[object]", listed) if isinstance(listed, list) else []
    for key in ("ca_file", "cert_file", "key_file", "alpn"):
        if key in mqtt and not mqtt.get("tls", False) and not any(map(is_encrypted_url, brokers)):
            yield problem(key, "tls = true as well: without TLS it is not used")
    if mqtt.get("tls", False) is True and any(map(is_plain_url, brokers)):
        yield problem("brokers", "mqtts:// and wss:// as well as tls = true, or no scheme")
    if "key_file" in mqtt and "cert_file" not in mqtt:
        yield problem("key_file", "cert_file as well")
    yield from peripheral_checks(source, raw, services)
    yield from capture_checks(source, raw)
    yield from people_checks(source, raw)
