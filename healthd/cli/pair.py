"""``healthd pair``: a bond with a peripheral of the settings, made while its owner stands by."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import typer

from healthd.central.agent import Agent
from healthd.central.bluez import BlueZ
from healthd.central.device import Device
from healthd.central.faults import LinkFault
from healthd.central.match import Match
from healthd.cli.run import DEFAULT_CONFIG, EXIT_FAILED, until_signal
from healthd.gateway.entry import bond_settings_for, match_for
from healthd.log import configure
from healthd.profiles import registry
from healthd.settings.file import read

# A device in pairing mode advertises several times a second; its owner has to fetch it first.
_SEARCH_S = 60.0
_LOOK_S = 0.5

# The daemon may be making a link to the same device; that takes seconds.
_BUSY_TRIES = 5
_BUSY_S = 2.0

_HINTS = {
    "adapter_off": "switch the adapter on: bluetoothctl power on",
    "bluez_gone": "start bluetoothd: systemctl start bluetooth",
    "dbus_denied": "your user may not talk to BlueZ: run it as root",
    "dbus_lost": "there is no D-Bus: is this the machine with the adapter?",
    "busy": "another program is linking it: try again",
}
_HINT = "put it into pairing mode (its manual says how), keep it near; is its passkey right?"


class _Failed(Exception):
    """It did not work; the text says why, and what to do."""


def main(peripheral: str, config: Path | None, again: bool) -> int:
    """Find it, pair with it, and say how that went.

    Args:
        peripheral: its id.
        config: the settings; None for the usual ones.
        again: forget the bond that there is first.

    Returns:
        The exit code: 0 there is a bond, 1 failed, 2 no such peripheral, 78 bad settings.
    """
    configure("warning")
    codes: list[int] = []

    async def body(stop: asyncio.Event) -> None:
        pairing = asyncio.ensure_future(_run(peripheral, config, again))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({pairing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if pairing.done():
                codes.append(pairing.result())
        finally:
            for task in (pairing, stopping):
                task.cancel()
            await asyncio.wait({pairing, stopping})

    code = until_signal(body)
    return code or (codes[0] if codes else EXIT_FAILED)


async def _run(peripheral: str, config: Path | None, again: bool) -> int:
    known = registry.load()
    settings = read(config or DEFAULT_CONFIG, os.environ, known.profiles)
    entries = {one.id: one for one in settings.peripherals}
    if (entry := entries.get(peripheral)) is None:
        ids = ", ".join(entries) or "none"
        typer.echo(f"no peripheral {peripheral!r} in the settings, there are: {ids}", err=True)
        return 2
    passkey = bond_settings_for(entry).passkey

    async def from_settings() -> int | None:
        return passkey

    ask = _ask_passkey if passkey is None else from_settings
    try:
        async with BlueZ.connected() as bluez:
            adapter = settings.bluetooth.adapter
            return await _pair(bluez, match_for(entry, known), adapter, ask, again)
    except LinkFault as fault:
        typer.echo(f"{fault}\n{_HINTS.get(fault.reason, _HINT)}", err=True)
    except _Failed as failure:
        typer.echo(str(failure), err=True)
    return EXIT_FAILED


async def _pair(
    bluez: BlueZ,
    match: Match,
    adapter: str | None,
    ask: Callable[[], Awaitable[int | None]],
    again: bool,
) -> int:
    _, devices = await bluez.state()
    bonded = [one for one in devices if match.fits(one) and one.bonded]
    if bonded and not again:
        typer.echo(f"{match.peripheral} is paired already; --again forgets that and pairs anew")
        return 0
    for device in bonded:
        await bluez.remove(device.path)
        typer.echo("the bond that there was is forgotten")
    typer.echo(f"looking for {match.peripheral} for {_SEARCH_S:.0f} s: put it into pairing mode")
    device = await _found(bluez, match, adapter)
    typer.echo(f"found {device.name or 'it'}, pairing")
    if device.connected:
        # BlueZ itself begins to pair where a device asks for it. Without an agent that fails, and
        # 5.82 keeps a link over which neither requests nor another pairing are answered.
        await bluez.disconnect(device.path)
    agent = Agent(device.path, ask, lambda code: typer.echo(f"type {code} into the device"))
    is_paired = False
    try:
        await _insist(bluez, device, agent)
        is_paired = True
        # So BlueZ lets it in by itself where it links to us.
        await bluez.trust(device.path)
    finally:
        if not is_paired:
            await bluez.cancel_pairing(device.path)
    # Made for the pairing alone: the daemon links it when it advertises again.
    await bluez.disconnect(device.path)
    typer.echo(f"{match.peripheral} is paired")
    return 0


async def _insist(bluez: BlueZ, device: Device, agent: Agent) -> None:
    for tries_left in reversed(range(_BUSY_TRIES)):
        try:
            await bluez.pair(device.path, agent, is_default=True)
        except LinkFault as fault:
            if fault.reason != "busy" or not tries_left:
                raise
            await asyncio.sleep(_BUSY_S)
        else:
            return


async def _found(bluez: BlueZ, match: Match, wanted: str | None) -> Device:
    """The device, in the air or linked by the daemon; BlueZ searches until it is there."""
    adapters, _ = await bluez.state()
    on = [name for name, powered in sorted(adapters.items()) if powered and wanted in (None, name)]
    if not on:
        raise _Failed(f"no adapter is on\n{_HINTS['adapter_off']}")
    await bluez.scan(on[0], True)
    try:
        ends_at = time.monotonic() + _SEARCH_S
        while time.monotonic() < ends_at:
            _, devices = await bluez.state()
            here = [one for one in devices if match.fits(one) and (one.heard or one.connected)]
            if len(here) > 1:
                names = ", ".join(f"{one.name} {one.address}" for one in here)
                raise _Failed(f"more than one fits: {names}\nset its address in the settings")
            if here:
                return here[0]
            await asyncio.sleep(_LOOK_S)
    finally:
        await bluez.scan(on[0], False)
    raise _Failed(f"{match.peripheral} was not heard\n{_HINT}")


async def _ask_passkey() -> int | None:
    """What is typed in; the event loop goes on meanwhile, and Ctrl-C ends it."""
    typer.echo("passkey, six digits (the device shows it, or it is printed on it): ", nl=False)
    typed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    loop, source = asyncio.get_running_loop(), sys.stdin

    def ready() -> None:
        if not typed.done():
            typed.set_result(source.readline())

    try:
        loop.add_reader(source, ready)
    except PermissionError:  # a file is always ready, and epoll takes none
        ready()
        return _digits(await typed)
    try:
        return _digits(await typed)
    finally:
        loop.remove_reader(source)


def _digits(text: str) -> int | None:
    digits = text.strip().replace(" ", "")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) == 6 else None
