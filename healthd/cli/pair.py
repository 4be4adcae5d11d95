"""``healthd pair``: pair with a peripheral of the settings while the user is present."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from healthd.central.agent import Agent
from healthd.central.bluez import BlueZ
from healthd.central.device import Device
from healthd.central.faults import LinkFault
from healthd.central.match import Match
from healthd.cli import console
from healthd.cli.run import DEFAULT_CONFIG, EXIT_FAILED, until_signal
from healthd.gateway.entry import Way, bond_settings_for, match_for, way_of
from healthd.log import configure
from healthd.profiles import registry
from healthd.settings.file import read

# A device in pairing mode advertises several times a second; the user needs time to start it.
_SEARCH_S = 60.0
_POLL_S = 0.5

# Enough to choose from; anyone nearby can advertise thousands of devices with one name.
_MOST_LISTED = 10

# The daemon may be linking the same device at this moment; that takes seconds.
_BUSY_TRIES = 5
_BUSY_S = 2.0

_HINTS = {
    "adapter_off": "switch the adapter on: bluetoothctl power on",
    "bluez_gone": "start bluetoothd: systemctl start bluetooth",
    "dbus_denied": "this user may not access BlueZ: run it with sudo",
    "dbus_lost": "D-Bus is not running: is this the machine with the adapter?",
    "busy": "another program is connecting to it: try again",
}
_HINT = (
    "put the device into pairing mode (see its manual), keep it close to this machine, and check "
    "its passkey"
)


class _Failed(Exception):
    """Pairing failed."""

    def __init__(self, problem: str, hint: str) -> None:
        """Keep what happened, and what to do about it."""
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


def main(peripheral: str, config: Path | None, again: bool) -> int:
    """Find the device, pair with it, and print the progress.

    Args:
        peripheral: its id.
        config: the settings; None for the default file.
        again: remove an existing bond first.

    Returns:
        The exit code: 0 paired, 1 failed, 2 no such peripheral, 78 bad settings.
    """
    configure("warning")
    codes: list[int] = []

    async def body(stop: asyncio.Event) -> None:
        pairing = asyncio.create_task(_run(peripheral, config, again), name="pair")
        stopping = asyncio.create_task(stop.wait(), name="pair-stop")
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
    entries = {entry.id: entry for entry in settings.peripherals}
    if (entry := entries.get(peripheral)) is None:
        ids = ", ".join(entries) or "none"
        console.complain(f"no peripheral {peripheral!r} in the settings; peripherals: {ids}")
        return 2
    if way_of(entry, known) is Way.LISTEN:
        console.complain(
            f"{peripheral} only advertises: healthd never links it, so it needs no bond"
        )
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
        console.complain(str(fault), _HINTS.get(fault.reason, _HINT))
    except _Failed as failure:
        console.complain(failure.problem, failure.hint)
    return EXIT_FAILED


async def _pair(
    bluez: BlueZ,
    match: Match,
    adapter: str | None,
    ask: Callable[[], Awaitable[int | None]],
    again: bool,
) -> int:
    _, devices = await bluez.state()
    bonded = [device for device in devices if match.fits(device) and device.bonded]
    if bonded and not again:
        console.say(
            f"{match.peripheral} is paired already; --again removes the bond and pairs again"
        )
        return 0
    for device in bonded:
        await bluez.remove(device.path)
        console.say("removed the existing bond")
    console.say(
        f"searching for {match.peripheral} for {_SEARCH_S:.0f} s: put it into pairing mode now"
    )
    device = await _find(bluez, match, adapter)
    console.say(f"found {console.name(device.name or match.peripheral)}, pairing")
    if device.connected:
        # BlueZ starts to pair by itself if the device requests it. Without an agent that fails, and
        # BlueZ 5.82 then keeps a link that answers neither requests nor another pairing.
        await bluez.disconnect(device.path)
    agent = Agent(device.path, ask, lambda code: console.say(f"enter {code} on the device"))
    is_paired = False
    try:
        await _pair_when_free(bluez, device, agent)
        is_paired = True
        # With trust, BlueZ accepts connections from the device without asking.
        await bluez.trust(device.path)
    finally:
        if not is_paired:
            await bluez.cancel_pairing(device.path)
    # This link was only for pairing: the daemon links the device when it advertises again.
    await bluez.disconnect(device.path)
    console.say(f"{match.peripheral} is paired")
    return 0


async def _pair_when_free(bluez: BlueZ, device: Device, agent: Agent) -> None:
    """Pair; try again while another program is connecting to the device."""
    for tries_left in reversed(range(_BUSY_TRIES)):
        try:
            await bluez.pair(device.path, agent, is_default=True)
        except LinkFault as fault:
            if fault.reason != "busy" or not tries_left:
                raise
            await asyncio.sleep(_BUSY_S)
        else:
            return


async def _find(bluez: BlueZ, match: Match, wanted: str | None) -> Device:
    """Scan until the device advertises, or is already linked by the daemon, and return it."""
    adapters, _ = await bluez.state()
    on = [name for name, powered in sorted(adapters.items()) if powered and wanted in (None, name)]
    if not on:
        raise _Failed("no adapter is on", _HINTS["adapter_off"])
    await bluez.scan(on[0], True)
    try:
        ends_at = time.monotonic() + _SEARCH_S
        while time.monotonic() < ends_at:
            _, devices = await bluez.state()
            found = [
                device
                for device in devices
                if match.fits(device) and (device.heard or device.connected)
            ]
            if len(found) > 1:
                raise _Failed(
                    f"more than one device matches {match.peripheral}: {_listed(found)}",
                    "set the address of the right one in the settings",
                )
            if found:
                return found[0]
            await asyncio.sleep(_POLL_S)
    finally:
        await bluez.scan(on[0], False)
    raise _Failed(f"{match.peripheral} was not found", _HINT)


def _listed(devices: Sequence[Device]) -> str:
    named = [f"{console.name(device.name or '')} {device.address}" for device in devices]
    more = len(named) - _MOST_LISTED
    return ", ".join(named[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


async def _ask_passkey() -> int | None:
    """Read the passkey from standard input without blocking the event loop, so Ctrl-C works."""
    console.ask("passkey, six digits (shown by the device or printed on it): ")
    typed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    loop, source = asyncio.get_running_loop(), sys.stdin

    def ready() -> None:
        if not typed.done():
            typed.set_result(source.readline())

    try:
        loop.add_reader(source, ready)
    except PermissionError:  # standard input is a file: always ready, and epoll refuses files
        ready()
        return _digits(await typed)
    try:
        return _digits(await typed)
    finally:
        loop.remove_reader(source)


def _digits(text: str) -> int | None:
    digits = text.strip().replace(" ", "")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) == 6 else None
