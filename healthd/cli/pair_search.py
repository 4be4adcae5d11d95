"""Finds the device that ``healthd pair`` is for, and says what went wrong."""

import asyncio
import time
from collections.abc import Sequence

from healthd.central.bluez import BlueZ
from healthd.central.device import Device
from healthd.central.match import Match
from healthd.cli import console

SEARCH_S = 60.0
"""A device in pairing mode advertises several times a second; the user needs time to start it."""

PASSING_S = 2.0
"""How long to wait while another program, such as the daemon, is linking the same device."""

_POLL_S = 0.5

# Enough to choose from; anyone nearby can advertise thousands of devices with one name.
_MOST_LISTED = 10

HINTS = {
    "adapter_off": "switch the adapter on: bluetoothctl power on",
    "bluez_gone": "start bluetoothd: systemctl start bluetooth",
    "dbus_denied": "this user may not access BlueZ: run it with sudo",
    "dbus_lost": "D-Bus is not running: is this the machine with the adapter?",
    "busy": "another program is connecting to it: try again",
}
"""What to do about faults that have nothing to do with the device, by their reasons."""

HINT = (
    "put the device into pairing mode (see its manual), keep it close to this machine, and check "
    "its passkey"
)


class Failed(Exception):
    """Pairing failed."""

    def __init__(self, problem: str, hint: str) -> None:
        """Keep what happened, and what to do about it."""
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


async def find(bluez: BlueZ, match: Match, wanted: str | None, hint: str) -> Device:
    """Scan until the device advertises, or is already linked by the daemon, and return it.

    Args:
        bluez: to scan with.
        match: how it is recognised.
        wanted: the adapter; None for any.
        hint: what to do if it is not found.

    Raises:
        Failed: it was not found, or more than one device fits.
        LinkFault: BlueZ cannot scan.
    """
    adapters, _ = await bluez.state()
    on = [name for name, powered in sorted(adapters.items()) if powered and wanted in (None, name)]
    if not on:
        raise Failed("no adapter is on", HINTS["adapter_off"])
    await bluez.scan(on[0], True)
    try:
        ends_at = time.monotonic() + SEARCH_S
        while time.monotonic() < ends_at:
            _, devices = await bluez.state()
            found = [
                device
                for device in devices
                if match.fits(device) and (device.heard or device.connected)
            ]
            if len(found) > 1:
                raise Failed(
                    f"more than one device matches {match.peripheral}: {_listed(found)}",
                    "set the address of the right one in the settings",
                )
            if found:
                return found[0]
            await asyncio.sleep(_POLL_S)
    finally:
        await bluez.scan(on[0], False)
    raise Failed(f"{match.peripheral} was not found", hint)


def _listed(devices: Sequence[Device]) -> str:
    named = [f"{console.name(device.name or '')} {device.address}" for device in devices]
    more = len(named) - _MOST_LISTED
    return ", ".join(named[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
