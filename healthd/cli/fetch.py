"""``healthd fetch``: let the running daemon fetch a periodic peripheral now."""

import os
from pathlib import Path
from typing import Any

from healthd.cli import console
from healthd.cli.daemon_socket import NoDaemon, asking_daemon
from healthd.cli.run import DEFAULT_CONFIG, EXIT_BAD_SETTINGS, EXIT_FAILED
from healthd.gateway.entry import Way, way_of
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.settings.problems import SettingsError
from healthd.verbs import RequestRefused

_EXIT_USAGE = 2


def main(peripheral: str, config: Path | None, as_json: bool) -> int:
    """Request a run from the daemon, wait for it, and print the outcome.

    Args:
        peripheral: its id.
        config: the settings; None for the default file.
        as_json: print one line of JSON instead of text.

    Returns:
        The exit code: 0 fetched, with or without new data; 1 failed, or no daemon is running; 2 no
        such periodic peripheral; 78 bad settings.
    """
    file, known = config or DEFAULT_CONFIG, registry.load()
    try:
        settings = read(file, os.environ, known.listed)
    except SettingsError as error:
        if isinstance(error.__cause__, PermissionError):
            return _failed(f"{file}: {_other_user(peripheral)}")
        return _failed(*map(str, error.problems), code=EXIT_BAD_SETTINGS)
    entries = {entry.id: entry for entry in settings.peripherals}
    if (entry := entries.get(peripheral)) is None:
        periodic = ", ".join(entry.id for entry in entries.values() if entry.periodic) or "none"
        return _failed(
            f"no peripheral {peripheral!r} in the settings; periodic peripherals: {periodic}",
            code=_EXIT_USAGE,
        )
    if not entry.periodic:
        return _failed(_not_periodic(peripheral, way_of(entry, known)), code=_EXIT_USAGE)
    return _fetch(peripheral, settings.gateway.id, as_json)


def _not_periodic(peripheral: str, way: Way) -> str:
    if way is Way.LISTEN:
        return (
            f"{peripheral} is not periodic: it only advertises, and healthd publishes its samples"
            " as it hears them. There is nothing to fetch."
        )
    return (
        f"{peripheral} is not periodic: healthd keeps it linked and publishes its samples as "
        'they arrive. To fetch it instead, set every = "15min" or on = "advertising".'
    )


def _fetch(peripheral: str, gateway: str, as_json: bool) -> int:
    request = {"verb": "fetch", "peripheral": peripheral}
    try:
        with asking_daemon(gateway, request) as (outcome, _):
            return _show(outcome, as_json)
    except PermissionError:
        return _failed(_other_user(peripheral))
    except NoDaemon as error:
        return _failed(str(error))
    except (RequestRefused, OSError) as error:
        return _failed(f"{peripheral}: {error}")


def _show(outcome: dict[str, Any], as_json: bool) -> int:
    error = outcome.pop("error")
    if as_json:
        console.say_json(outcome)
    else:
        reason = "" if outcome["reason"] is None else f" ({outcome['reason']})"
        count = f"{outcome['samples']} samples in {outcome['duration_s']:.1f} s"
        details = "" if error is None else f": {error}"
        console.say(f"{outcome['peripheral']}: {outcome['outcome']}{reason}, {count}{details}")
    return 0 if outcome["outcome"] in ("new_data", "no_data") else EXIT_FAILED


def _other_user(peripheral: str) -> str:
    return f"healthd runs as another user: sudo -u healthd healthd fetch {peripheral}"


def _failed(*lines: str, code: int = EXIT_FAILED) -> int:
    console.complain(*lines)
    return code
