"""``healthd pair``: pair with a peripheral of the settings while the user is present."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from healthd.central.agent import Agent
from healthd.central.bluez import BlueZ
from healthd.central.device import Device
from healthd.central.faults import LinkFault
from healthd.central.match import Match
from healthd.cli import console
from healthd.cli.pair_key import KeyPairing
from healthd.cli.pair_search import HINT, HINTS, PASSING_S, SEARCH_S, Failed, find
from healthd.cli.run import DEFAULT_CONFIG, EXIT_FAILED, until_signal
from healthd.doctor.machine import Machine
from healthd.gateway.entry import Way, bond_settings_for, match_for, way_of
from healthd.host.folders import state_folder
from healthd.log import configure
from healthd.profiles import registry
from healthd.profiles.dialogue import Pairing
from healthd.settings.file import read
from healthd.settings.keys import Keys

# The daemon may be linking the same device at this moment; that takes seconds.
_BUSY_TRIES = 5


@dataclass(frozen=True, slots=True)
class _Order:
    """What to pair with, and how.

    Attributes:
        match: how the device is recognised.
        adapter: which adapter to use; None for any.
        ask: returns the passkey.
        again: whether to replace the bond and the key.
        pairing: how a key is agreed, if the settings name a kind of device that has one.
    """

    match: Match
    adapter: str | None
    ask: Callable[[], Awaitable[int | None]]
    again: bool
    pairing: Pairing | None


def main(peripheral: str, config: Path | None, again: bool) -> int:
    """Find the device, pair with it, and print the progress.

    Args:
        peripheral: its id.
        config: the settings; None for the default file.
        again: remove an existing bond first, and agree on another key.

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
    known, file = registry.load(), config or DEFAULT_CONFIG
    settings = read(file, os.environ, known.listed)
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
    pairing = None if entry.service is None else known.profiles[entry.service].pairing
    order = _Order(match_for(entry, known), settings.bluetooth.adapter, ask, again, pairing)
    environ = Machine(os.environ).as_daemon(installed=file == DEFAULT_CONFIG)
    keys = Keys(state_folder(settings.outbox.directory, environ))
    try:
        async with BlueZ.connected() as bluez:
            await _pair(bluez, order, KeyPairing(bluez, known, keys, peripheral))
    except LinkFault as fault:
        console.complain(str(fault), HINTS.get(fault.reason, HINT))
    except Failed as failure:
        console.complain(failure.problem, failure.hint)
    else:
        return 0
    return EXIT_FAILED


async def _pair(bluez: BlueZ, order: _Order, key: KeyPairing) -> None:
    match, pairing = order.match, order.pairing
    _, devices = await bluez.state()
    known = [device for device in devices if match.fits(device)]
    bonded = [device for device in known if device.bonded]
    needs_key = pairing is not None or any(map(key.may_apply, known))
    if not order.again and (key.is_stored or (bonded and not needs_key)):
        again = "replaces the key" if key.is_stored else "removes the bond"
        console.say(f"{match.peripheral} is paired already; --again {again} and pairs again")
        return
    if needs_key:
        key.make_folder()
    for device in bonded if order.again else []:
        await bluez.remove(device.path)
        console.say("removed the existing bond")
    hint = "put it into pairing mode now" if pairing is None else pairing.hint
    console.say(f"searching for {match.peripheral} for {SEARCH_S:.0f} s: {hint}")
    device = await find(bluez, match, order.adapter, HINT if pairing is None else pairing.hint)
    console.say(f"found {console.name(device.name or match.peripheral)}, pairing")
    if device.connected:
        # BlueZ starts to pair by itself if the device requests it. Without an agent that fails, and
        # BlueZ 5.82 then keeps a link that answers neither requests nor another pairing.
        await bluez.disconnect(device.path)
    agent = Agent(device.path, order.ask, lambda code: console.say(f"enter {code} on the device"))
    is_paired = False
    try:
        if pairing is not None or key.may_apply(device):
            key.make_folder()
            is_paired = await key.run(device, agent)
        if not is_paired:
            await _bond(bluez, device, agent)
        is_paired = True
    finally:
        if not is_paired:
            await bluez.cancel_pairing(device.path)
    console.say(f"{match.peripheral} is paired")


async def _bond(bluez: BlueZ, device: Device, agent: Agent) -> None:
    """Pair as BlueZ does it; try again while another program is connecting to the device."""
    for tries_left in reversed(range(_BUSY_TRIES)):
        try:
            await bluez.pair(device.path, agent, is_default=True)
        except LinkFault as fault:
            if fault.reason != "busy" or not tries_left:
                raise
            await asyncio.sleep(PASSING_S)
        else:
            break
    # With trust, BlueZ accepts connections from the device without asking.
    await bluez.trust(device.path)
    # This link was only for pairing: the daemon links the device when it advertises again.
    await bluez.disconnect(device.path)


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
