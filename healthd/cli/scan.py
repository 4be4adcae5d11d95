"""``healthd scan``: what is in range, what healthd reads of it, and the block for the settings."""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from healthd.central.faults import LinkFault
from healthd.central.link import Backends
from healthd.central.survey import InRange, survey
from healthd.cli.entry import NotAdded, append
from healthd.cli.live.wording import printable
from healthd.cli.run import DEFAULT_CONFIG, EXIT_BAD_SETTINGS, EXIT_FAILED, until_signal
from healthd.gateway.control_socket import socket_file
from healthd.gateway.entry import match_for
from healthd.host.folders import socket_folders
from healthd.log import configure
from healthd.profiles import registry
from healthd.profiles.registry import Registry
from healthd.settings.file import SettingsError, read
from healthd.settings.model import Settings

_HINT = "healthd doctor says more"
_HINTS = {
    "busy": "another program uses the adapter, a running healthd perhaps: systemctl stop healthd",
    "adapter_unavailable": "is bluetoothd running and the adapter on? " + _HINT,
    "bluez_gone": "start bluetoothd: sudo systemctl start bluetooth",
    "dbus_lost": "there is no D-Bus, and so no BlueZ: is this the machine with the adapter?",
    "dbus_denied": "this user may not talk to BlueZ: sudo healthd scan",
}


def main(config: Path | None, seconds: float, add: str | None, as_json: bool) -> int:
    """Scan, show what was found, and add one of it to the settings where that is wanted.

    Args:
        config: the settings; None for the usual ones, where there are any.
        seconds: how long.
        add: id or address of what is to be added; None to be asked, on a terminal.
        as_json: one JSON object instead of a table.

    Returns:
        The exit code: 0, 1 it cannot scan or add, 78 bad settings.
    """
    configure("warning")
    file, known = config or DEFAULT_CONFIG, registry.load()
    is_required = config is not None or add is not None
    scans: list[list[InRange] | None] = []

    async def body(stop: asyncio.Event) -> None:
        settings = _settings(file, known, required=is_required)
        scans.append(await look(settings, known, seconds, stop))

    code = until_signal(body)
    if code or not scans or (found := scans[0]) is None:
        return code or EXIT_FAILED
    if as_json:
        show_json(found)
    else:
        show(found)
        if add is None and sys.stdin.isatty() and sys.stdout.isatty():
            add = _asked(found)
    return 0 if not add else add_entry(add, found, file, known)


async def look(
    settings: Settings,
    known: Registry,
    seconds: float,
    stop: asyncio.Event,
    backends: Backends | None = None,
) -> list[InRange] | None:
    """Scan; what is in range, None where that cannot be known, which is said.

    Args:
        settings: say which adapter, and which peripherals there are.
        known: what healthd reads.
        seconds: how long.
        stop: ends it earlier.
        backends: stand in for the system's Bluetooth.
    """
    matches = [match_for(one, known) for one in settings.peripherals]
    if backends is None and _daemon_runs(settings.gateway.id, os.environ):
        _tell("healthd runs: what it has linked does not advertise, and is shown as linked")
    _tell(f"listening for {seconds:g} s; use the device now if it sleeps between measurements")
    adapter = settings.bluetooth.adapter
    try:
        return await survey(backends or Backends(), adapter, seconds, stop, known, matches)
    except LinkFault as fault:
        _tell(f"cannot scan: {fault}\n{_HINTS.get(fault.reason, _HINT)}")
        return None


def _settings(file: Path, known: Registry, *, required: bool) -> Settings:
    """The settings; without any, a scan is what helps to write some."""
    try:
        return read(file, os.environ, known.profiles)
    except SettingsError as error:
        if required or not isinstance(error.__cause__, OSError):
            raise
        _tell(f"without the settings: {error}")
        return Settings()


def _daemon_runs(gateway: str, environ: Mapping[str, str]) -> bool:
    for folder in socket_folders(environ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
            try:
                connected.connect(os.fspath(socket_file(folder, gateway)))
            except PermissionError:
                return True  # another user's
            except OSError:
                continue
            return True
    return False


def show(found: Sequence[InRange]) -> None:
    """A table, and the blocks of what can be read and is not in the settings."""
    console = Console()
    table = Table("id", "name", "address", "signal", "profiles", "healthd")
    for one in found:
        signal = "linked" if one.rssi_dbm is None else f"{one.rssi_dbm} dBm"
        verdict = "reads it" if one.is_readable else "only a link tells"
        if one.peripheral is not None:
            verdict = "in the settings"
        called = one.peripheral or one.suggested_id
        cells = (called, one.name or "", one.address, signal, ", ".join(one.profiles), verdict)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table)
    new = [one for one in found if one.is_readable and one.peripheral is None]
    if new:
        console.print(Text("To the settings, or by `healthd scan --add ID`:"))
    for one in new:
        lines = one.block.splitlines()
        console.print(Text("\n".join(["", *map(printable, lines)])), soft_wrap=True)
    if not found:
        console.print(
            Text("Nothing was heard. Is the device awake, near, and not linked elsewhere?")
        )


def show_json(found: Sequence[InRange]) -> None:
    """One JSON object."""
    entries = [one.fields() for one in found]
    sys.stdout.buffer.write(orjson.dumps({"found": entries}, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def _asked(found: Sequence[InRange]) -> str:
    new = [one.suggested_id for one in found if one.peripheral is None]
    if not new:
        return ""
    return typer.prompt("Add which id (none: Enter)", default="", show_default=False)


def add_entry(wanted: str, found: Sequence[InRange], file: Path, known: Registry) -> int:
    """Add what was found under this id or address to the settings; the exit code."""
    address = wanted.upper().replace("-", ":")
    by_name = [one for one in found if one.peripheral is None and one.suggested_id == wanted]
    here = by_name or [one for one in found if one.address == address]
    if not here:
        there = ", ".join(one.suggested_id for one in found if one.peripheral is None) or "nothing"
        _tell(f"{wanted} was not heard; to be added: {there}")
        return EXIT_FAILED
    (one,) = here
    if one.peripheral is not None:
        _tell(f"{wanted} is in the settings already, as {one.peripheral}")
        return EXIT_FAILED
    try:
        append(file, one.block, os.environ, known.profiles)
    except NotAdded as error:
        _tell(str(error))
        return EXIT_FAILED
    except SettingsError as error:
        _tell(f"not added, the settings would be bad:\n{error}")
        return EXIT_BAD_SETTINGS
    _tell(f"{one.suggested_id} is added to {file}; then: sudo systemctl reload healthd")
    return 0


def _tell(text: str) -> None:
    typer.echo(text, err=True)
