"""D-Bus and BlueZ: there, new enough, and willing to talk to us."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from healthd.central.bluez import BlueZ
from healthd.central.device import Device
from healthd.central.faults import LinkFault
from healthd.doctor.finding import Finding, depend, ok, skipped, wrong
from healthd.doctor.machine import AS_SERVICE, SERVICE_USER, Machine

# What bleak asks for.
_OLDEST = (5, 55)

_START = "install and start it: sudo apt install bluez; sudo systemctl enable --now bluetooth"
_RIGHTS = (
    f"allow it: `sudo make install` puts healthd-dbus.conf into /etc/dbus-1/system.d for the user "
    f"{SERVICE_USER}; another user asks: sudo -u {SERVICE_USER} healthd doctor"
)


@dataclass(frozen=True, slots=True)
class Radio:
    """What BlueZ tells.

    Attributes:
        adapters: every adapter's properties, by name.
        devices: every device that is known.
    """

    adapters: Mapping[str, Mapping[str, Any]]
    devices: tuple[Device, ...] = ()


async def check_bluetooth(machine: Machine) -> tuple[list[Finding], Radio | None]:
    """Ask the system bus and BlueZ.

    Returns:
        What was found, and what BlueZ told; None where it did not.
    """
    found: list[Finding] = []
    try:
        async with BlueZ.connected() as bluez:
            found.append(ok("dbus", "the system bus answers"))
            radio = await _ask(bluez, machine, found)
    except LinkFault as fault:
        fix = "is this the machine with the adapter? sudo systemctl start dbus"
        if fault.reason == "dbus_denied":
            fix = _RIGHTS
        return [
            wrong("dbus", f"no system bus: {fault}", fix),
            *depend(("bluez", "dbus_rights", "bluez_version"), "dbus"),
        ], None
    if radio is not None:
        found.append(await _version(machine, radio))
    return found, radio


async def _ask(bluez: BlueZ, machine: Machine, found: list[Finding]) -> Radio | None:
    if not await bluez.is_there():
        found.append(wrong("bluez", "bluetoothd does not run", _START))
        found.extend(depend(("dbus_rights", "bluez_version"), "bluez"))
        return None
    found.append(ok("bluez", "bluetoothd runs"))
    try:
        adapters, devices = await bluez.objects()
    except LinkFault as fault:
        if fault.reason == "dbus_denied":
            found.append(wrong("dbus_rights", f"BlueZ may not be asked: {fault}", _RIGHTS))
            failed = "dbus_rights"
        else:
            fix = "restart it: sudo systemctl restart bluetooth; its log: journalctl -u bluetooth"
            found[-1] = wrong("bluez", f"bluetoothd runs and does not answer: {fault}", fix)
            found.extend(depend(("dbus_rights",), failed := "bluez"))
        found.extend(depend(("bluez_version",), failed))
        return None
    found.append(_rights(machine))
    return Radio(adapters, tuple(devices))


def _rights(machine: Machine) -> Finding:
    if machine.asks_for_another:
        return skipped("dbus_rights", "root may talk to BlueZ, as it always may", AS_SERVICE)
    return ok("dbus_rights", "this user may talk to BlueZ")


async def _version(machine: Machine, radio: Radio) -> Finding:
    version = next(filter(None, map(_version_told, radio.adapters.values())), None)
    if version is None:
        # The tools come with bluetoothd, though not always from the same package.
        told = await machine.output("bluetoothctl", "--version") or ""
        parts = re.search(r"(\d+)\.(\d+)", told)
        version = None if parts is None else (int(parts[1]), int(parts[2]))
    if version is None:
        return skipped("bluez_version", "BlueZ does not tell its version")
    text = "BlueZ {}.{}".format(*version)
    if version < _OLDEST:
        oldest = "{}.{}".format(*_OLDEST)
        fix = f"upgrade to {oldest} or newer: Debian and Raspberry Pi OS 12 bring 5.66"
        return wrong("bluez_version", f"{text} is too old", fix)
    return ok("bluez_version", text)


def _version_told(adapter: Mapping[str, Any]) -> tuple[int, int] | None:
    """BlueZ names itself to other devices, unless DeviceID= of its main.conf has another name.

    ``usb:v1D6Bp0246d0542`` is the Linux Foundation's BlueZ, 0x05.0x42.
    """
    parts = re.fullmatch(r"usb:v1D6Bp0246d([0-9A-F]{2})([0-9A-F]{2})", adapter.get("Modalias", ""))
    return None if parts is None else (int(parts[1], 16), int(parts[2], 16))
