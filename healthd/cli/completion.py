"""Shell completion of arguments, in addition to the names of commands and options.

It runs at a key press: load only what is needed, and never report an error. typer filters by what
the user has typed so far; if nothing is left, the shell completes file names.
"""

import tomllib
from pathlib import Path
from typing import Any, cast

import typer

from healthd.settings.slug import is_slug
from healthd.settings.text import read_text
from healthd.simulator.names import NAMES


def peripherals(context: typer.Context) -> list[str]:
    """Return the ids of all peripherals in the settings."""
    return [entry["id"] for entry in _entries(context)]


def periodic_peripherals(context: typer.Context) -> list[str]:
    """Return the ids of the peripherals that can be fetched."""
    return [entry["id"] for entry in _entries(context) if "every" in entry or "on" in entry]


def models(incomplete: str) -> list[str]:
    """Complete the last name of a comma-separated list of simulated devices."""
    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in NAMES]


def kinds() -> list[str]:
    """Return the kinds of payload."""
    from healthd.cli.contract.schema import measurements, payloads
    from healthd.profiles.registry import load

    return [*measurements(load()), *payloads()]


def sources(context: typer.Context) -> list[tuple[str, str]]:
    """Return what ``decode`` reads: UUIDs, or keys of advertised data; each with its kind."""
    from healthd.profiles.registry import load

    registry = load()
    if context.params.get("advertisement"):
        broadcasts = registry.broadcasts.values()
        return [(key, each.model.kind) for each in broadcasts for key in each.keys]
    return [(uuid, each.model.kind) for uuid, each in registry.characteristics.items()]


def _entries(context: typer.Context) -> list[dict[str, Any]]:
    """Return the peripherals of the settings; empty if the file cannot be read."""
    from healthd.cli.run import DEFAULT_CONFIG

    # The path is as typed: the shell has not expanded ~ yet.
    config = Path(context.params.get("config") or DEFAULT_CONFIG)
    try:
        entries: Any = tomllib.loads(read_text(config.expanduser())).get("peripherals")
    except (OSError, ValueError, RuntimeError):  # RuntimeError: the home folder is unknown
        return []
    if not isinstance(entries, list):
        return []
    return [
        entry
        for entry in cast("list[Any]", entries)
        if isinstance(entry, dict) and is_slug(cast("dict[str, Any]", entry).get("id"))
    ]
