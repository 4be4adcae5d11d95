"""What a shell completes arguments with, beyond the names of commands and options.

Called at a press of a key: nothing is loaded that is not needed, and nothing is ever told to be
wrong. typer picks what begins as the user has begun; of nothing the shell makes names of files.
"""

import tomllib
from pathlib import Path
from typing import Any, cast

import typer

from healthd.simulator.names import NAMES


def peripherals(context: typer.Context) -> list[str]:
    """The ids of the settings."""
    return [one["id"] for one in _entries(context)]


def periodic_peripherals(context: typer.Context) -> list[str]:
    """Those of them that can be fetched."""
    return [one["id"] for one in _entries(context) if "every" in one or "on" in one]


def models(incomplete: str) -> list[str]:
    """What the demo shows: the next one, behind those that end with a comma."""
    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{one}" for one in NAMES]


def kinds() -> list[str]:
    """The kinds of payload."""
    from healthd.cli.contract.schema import measurements, payloads
    from healthd.profiles.registry import load

    return [*measurements(load()), *payloads()]


def characteristics() -> list[tuple[str, str]]:
    """UUIDs, each with what is measured there."""
    from healthd.profiles.registry import load

    return [(uuid, one.model.kind) for uuid, one in load().characteristics.items()]


def _entries(context: typer.Context) -> list[dict[str, Any]]:
    """The peripherals of the settings, as far as they are there and may be read."""
    from healthd.cli.run import DEFAULT_CONFIG

    # As it was typed: the shell has not yet put a home folder in its place.
    config = Path(context.params.get("config") or DEFAULT_CONFIG)
    try:
        with config.expanduser().open("rb") as file:
            entries: Any = tomllib.load(file).get("peripherals")
    except (OSError, ValueError, RuntimeError):  # the last one: nobody's home is known
        return []
    if not isinstance(entries, list):
        return []
    return [
        one
        for one in cast("list[Any]", entries)
        if isinstance(one, dict) and isinstance(cast("dict[str, Any]", one).get("id"), str)
    ]
