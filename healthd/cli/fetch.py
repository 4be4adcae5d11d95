"""``healthd fetch``: the running daemon fetches a periodic peripheral now."""

import os
import sys
from pathlib import Path
from typing import Any

import orjson
import typer

from healthd.cli.run import DEFAULT_CONFIG, EXIT_BAD_SETTINGS, EXIT_FAILED
from healthd.gateway.control_socket import ask, socket_file
from healthd.host.folders import socket_folders
from healthd.profiles import registry
from healthd.settings.file import SettingsError, read
from healthd.verbs import RequestRefused

_EXIT_USAGE = 2


def main(peripheral: str, config: Path | None, as_json: bool) -> int:
    """Ask the daemon for a run, wait for it, and say how it went.

    Args:
        peripheral: its id.
        config: the settings; None for the usual ones.
        as_json: one JSON line instead of one for people.

    Returns:
        The exit code: 0 there was nothing or something new, 1 it failed or there is no daemon, 2
        there is no such periodic peripheral, 78 bad settings.
    """
    file = config or DEFAULT_CONFIG
    try:
        settings = read(file, os.environ, registry.load().profiles)
    except SettingsError as error:
        if isinstance(error.__cause__, PermissionError):
            return _told(f"{file}: {_other_user(peripheral)}")
        return _told(str(error), EXIT_BAD_SETTINGS)
    entries = {one.id: one for one in settings.peripherals}
    if (entry := entries.get(peripheral)) is None:
        periodic = ", ".join(one.id for one in settings.peripherals if one.periodic) or "none"
        there = f"periodic ones that there are: {periodic}"
        return _told(f"no peripheral {peripheral!r} in the settings; {there}", _EXIT_USAGE)
    if not entry.periodic:
        return _told(
            f"{peripheral} is continuous: it is linked whenever it is there, and what it has comes "
            'by itself. To have it fetched, set every = "15min" or on = "advertising".',
            _EXIT_USAGE,
        )
    return _fetch(peripheral, settings.gateway.id, as_json)


def _fetch(peripheral: str, gateway: str, as_json: bool) -> int:
    request = {"verb": "fetch", "peripheral": peripheral}
    denied = False
    for folder in socket_folders(os.environ):
        try:
            outcome = ask(socket_file(folder, gateway), request)
        except (FileNotFoundError, ConnectionRefusedError):
            continue  # no daemon of this gateway, or what a killed one has left
        except PermissionError:
            denied = True
        except (RequestRefused, OSError) as error:
            return _told(f"{peripheral}: {error}")
        else:
            return _show(outcome, as_json)
    if denied:
        return _told(_other_user(peripheral))
    return _told(f"no healthd runs as gateway {gateway}: systemctl start healthd")


def _show(outcome: dict[str, Any], as_json: bool) -> int:
    error = outcome.pop("error")
    if as_json:
        line = orjson.dumps(outcome).decode()
    else:
        reason = "" if outcome["reason"] is None else f" ({outcome['reason']})"
        brought = f"{outcome['samples']} samples in {outcome['duration_s']:.1f} s"
        why = "" if error is None else f": {error}"
        line = f"{outcome['peripheral']}: {outcome['outcome']}{reason}, {brought}{why}"
    typer.echo(line)
    return 0 if outcome["outcome"] in ("new_data", "no_data") else EXIT_FAILED


def _other_user(peripheral: str) -> str:
    return f"healthd is another user's: sudo -u healthd healthd fetch {peripheral}"


def _told(text: str, code: int = EXIT_FAILED) -> int:
    print(text, file=sys.stderr)  # noqa: T201
    return code
