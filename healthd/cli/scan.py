"""``healthd scan``: show the devices in range, their profiles, and blocks for the settings."""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from healthd.central.faults import LinkFault
from healthd.central.link import Backends
from healthd.central.survey import InRange, survey
from healthd.cli import console, tables
from healthd.cli.entry import NotAdded, append
from healthd.cli.run import DEFAULT_CONFIG, EXIT_BAD_SETTINGS, EXIT_FAILED, until_signal
from healthd.gateway.control_socket import socket_file
from healthd.gateway.entry import match_for
from healthd.host.folders import socket_folders
from healthd.log import configure
from healthd.profiles import registry
from healthd.profiles.registry import Registry
from healthd.settings.file import read
from healthd.settings.model import Settings
from healthd.settings.problems import NoSettings, SettingsError

_HINT = "for details: healthd doctor"
_HINTS = {
    "busy": "another program, maybe healthd, uses the adapter: sudo systemctl stop healthd",
    "adapter_unavailable": "is bluetoothd running and the adapter on? " + _HINT,
    "bluez_gone": "start bluetoothd: sudo systemctl start bluetooth",
    "dbus_lost": "D-Bus, and so BlueZ, is not running: is this the machine with the adapter?",
    "dbus_denied": "this user may not access BlueZ: sudo healthd scan",
}


def main(config: Path | None, seconds: float, add: str | None, as_json: bool) -> int:
    """Scan, show the devices that were found, and add one to the settings on request.

    Args:
        config: the settings; None for the default file, if it exists.
        seconds: how long to scan.
        add: id or address of the device to add; None to ask on a terminal.
        as_json: print one JSON object instead of a table.

    Returns:
        The exit code: 0, 1 cannot scan or add, 78 bad settings.
    """
    configure("warning")
    file, known = config or DEFAULT_CONFIG, registry.load()
    is_required = config is not None or add is not None
    scans: list[list[InRange] | None] = []

    async def body(stop: asyncio.Event) -> None:
        settings = _settings(file, known, required=is_required)
        scans.append(await scan(settings, known, seconds, stop))

    code = until_signal(body)
    if code or not scans or (found := scans[0]) is None:
        return code or EXIT_FAILED
    if as_json:
        show_json(found)
    else:
        show(found)
        if add is None and sys.stdin.isatty() and sys.stdout.isatty():
            add = _prompt(found)
    return 0 if not add else add_entry(add, found, file, known)


async def scan(
    settings: Settings,
    known: Registry,
    seconds: float,
    stop: asyncio.Event,
    backends: Backends | None = None,
) -> list[InRange] | None:
    """Scan for devices and print the progress.

    Args:
        settings: which adapter to use, and which peripherals are already set up.
        known: the profiles that healthd supports.
        seconds: how long to scan.
        stop: ends the scan earlier.
        backends: replace the system's Bluetooth.

    Returns:
        The devices in range; None if scanning failed, with the reason printed.
    """
    matches = [match_for(entry, known) for entry in settings.peripherals]
    if backends is None and _is_daemon_running(settings.gateway.id, os.environ):
        console.complain("healthd is running: the devices it has linked are shown as linked")
    console.complain(f"scanning for {seconds:g} s; use the device now if it sleeps when idle")
    adapter = settings.bluetooth.adapter
    try:
        return await survey(backends or Backends(), adapter, seconds, stop, known, matches)
    except LinkFault as fault:
        console.complain(f"cannot scan: {fault}", _HINTS.get(fault.reason, _HINT))
        return None


def _settings(file: Path, known: Registry, *, required: bool) -> Settings:
    """Read the settings; if there are none and they are not required, return the defaults."""
    try:
        return read(file, os.environ, known.listed)
    except SettingsError as error:
        are_there = not isinstance(error, NoSettings) and not isinstance(error.__cause__, OSError)
        if required or are_there:
            raise
        console.complain(f"scanning without settings: {error}")
        return Settings()


def _is_daemon_running(gateway: str, environ: Mapping[str, str]) -> bool:
    for folder in socket_folders(environ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
            try:
                connected.connect(os.fspath(socket_file(folder, gateway)))
            except PermissionError:
                return True  # it belongs to another user
            except OSError:
                continue
            return True
    return False


def show(found: Sequence[InRange]) -> None:
    """Print a table, and the blocks of supported devices that are not in the settings."""
    table = tables.table("id", "name", "address", "signal", "profiles", "healthd")
    for device in found:
        signal = "linked" if device.rssi_dbm is None else f"{device.rssi_dbm} dBm"
        verdict = "supported" if device.is_readable else "unknown until linked"
        if device.peripheral is not None:
            verdict = "in the settings"
        tables.add_row(
            table,
            device.peripheral or device.suggested_id,
            console.name(device.name or ""),
            device.address,
            signal,
            ", ".join(device.profiles),
            verdict,
        )
    tables.show(table)
    new = [device for device in found if device.is_readable and device.peripheral is None]
    if new:
        console.say("Add these blocks to the settings, or run `healthd scan --add ID`:")
    for device in new:
        console.say("", *device.block.splitlines())
    if not found:
        console.say("No device found. Is it awake, in range, and not connected to something else?")


def show_json(found: Sequence[InRange]) -> None:
    """Print one JSON object."""
    console.say_json({"found": [device.fields() for device in found]})


def _prompt(found: Sequence[InRange]) -> str:
    if all(device.peripheral is not None for device in found):
        return ""
    return typer.prompt("Id of the device to add (Enter for none)", default="", show_default=False)


def add_entry(wanted: str, found: Sequence[InRange], file: Path, known: Registry) -> int:
    """Add the device with this id or address to the settings; return the exit code."""
    address = wanted.upper().replace("-", ":")
    new = [device for device in found if device.peripheral is None]
    by_id = [device for device in new if device.suggested_id == wanted]
    matching = by_id or [device for device in found if device.address == address]
    if not matching:
        ids = ", ".join(device.suggested_id for device in new) or "none"
        console.complain(f"{wanted} was not found; devices that can be added: {ids}")
        return EXIT_FAILED
    (device,) = matching
    if device.peripheral is not None:
        console.complain(f"{wanted} is already in the settings, as {device.peripheral}")
        return EXIT_FAILED
    try:
        append(file, device.block, os.environ, known.listed)
    except NotAdded as error:
        console.complain(str(error))
        return EXIT_FAILED
    except SettingsError as error:
        problems = map(str, error.problems)
        console.complain("not added: the settings are invalid, or would be:", *problems)
        return EXIT_BAD_SETTINGS
    console.complain(f"added {device.suggested_id} to {file}; apply: sudo systemctl reload healthd")
    if device.hint:
        console.complain(device.hint)
    return 0
