"""Check D-Bus and BlueZ: running, new enough, and accessible for this user."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from healthd.central.bluez import BlueZ
from healthd.central.device import Device
from healthd.central.faults import LinkFault
from healthd.doctor.finding import Finding, depend, ok, skipped, wrong
from healthd.doctor.machine import AS_SERVICE, SERVICE_USER, Machine

# The minimum version for bleak.
_OLDEST = (5, 55)

_START = "install and start it: sudo apt install bluez; sudo systemctl enable --now bluetooth"
_RIGHTS = (
    f"allow it: `sudo make install` installs healthd-dbus.conf for the user {SERVICE_USER} in "
    f"/etc/dbus-1/system.d; to check that user: sudo -u {SERVICE_USER} healthd doctor"
)


@dataclass(frozen=True, slots=True)
class Radio:
    """The objects of BlueZ.

    Attributes:
        adapters: the properties of every adapter, by name.
        devices: every device that BlueZ knows.
    """

    adapters: Mapping[str, Mapping[str, Any]]
    devices: tuple[Device, ...] = ()


async def check_bluetooth(machine: Machine) -> tuple[list[Finding], Radio | None]:
    """Query the system bus and BlueZ.

    Returns:
        The findings, and the objects of BlueZ; None if it did not answer.
    """
    found: list[Finding] = []
    try:
        async with BlueZ.connected() as bluez:
            found.append(ok("dbus", "the system bus answers"))
            radio = await _query(bluez, machine, found)
    except LinkFault as fault:
        fix = "is this the machine with the adapter? sudo systemctl start dbus"
        if fault.reason == "dbus_denied":
            fix = _RIGHTS
        return [
            wrong("dbus", f"cannot connect to the system bus: {fault}", fix),
            *depend(("bluez", "dbus_rights", "bluez_version"), "dbus"),
        ], None
    if radio is not None:
        found.append(await _version(machine, radio))
    return found, radio


async def _query(bluez: BlueZ, machine: Machine, found: list[Finding]) -> Radio | None:
    if not await bluez.is_there():
        found.append(wrong("bluez", "bluetoothd is not running", _START))
        found.extend(depend(("dbus_rights", "bluez_version"), "bluez"))
        return None
    found.append(ok("bluez", "bluetoothd is running"))
    try:
        adapters, devices = await bluez.objects()
    except LinkFault as fault:
        if fault.reason == "dbus_denied":
            found.append(wrong("dbus_rights", f"this user may not access BlueZ: {fault}", _RIGHTS))
            failed = "dbus_rights"
        else:
            fix = (
                "restart it: sudo systemctl restart bluetooth; see its log: journalctl -u bluetooth"
            )
            found[-1] = wrong("bluez", f"bluetoothd is running but does not answer: {fault}", fix)
            found.extend(depend(("dbus_rights",), failed := "bluez"))
        found.extend(depend(("bluez_version",), failed))
        return None
    found.append(_rights(machine))
    return Radio(adapters, tuple(devices))


def _rights(machine: Machine) -> Finding:
    if machine.is_root_for_service:
        return skipped("dbus_rights", "root may always access BlueZ", AS_SERVICE)
    return ok("dbus_rights", "this user may access BlueZ")


async def _version(machine: Machine, radio: Radio) -> Finding:
    version = next(filter(None, map(_version_in_modalias, radio.adapters.values())), None)
    if version is None:
        # bluetoothctl normally has the version of bluetoothd, but may come from another package.
        output = await machine.output("bluetoothctl", "--version") or ""
        parts = re.search(r"(\d+)\.(\d+)", output)
        version = None if parts is None else (int(parts[1]), int(parts[2]))
    if version is None:
        return skipped("bluez_version", "BlueZ does not report its version")
    text = "BlueZ {}.{}".format(*version)
    if version < _OLDEST:
        oldest = "{}.{}".format(*_OLDEST)
        fix = f"upgrade to {oldest} or newer: Debian 12 and Raspberry Pi OS 12 have 5.66"
        return wrong("bluez_version", f"{text} is too old", fix)
    return ok("bluez_version", text)


def _version_in_modalias(adapter: Mapping[str, Any]) -> tuple[int, int] | None:
    """Parse the version in an adapter's Modalias; None if DeviceID= in main.conf changes it.

    ``usb:v1D6Bp0246d0542`` is the Linux Foundation's BlueZ, 0x05.0x42.
    """
    parts = re.fullmatch(r"usb:v1D6Bp0246d([0-9A-F]{2})([0-9A-F]{2})", adapter.get("Modalias", ""))
    return None if parts is None else (int(parts[1], 16), int(parts[2], 16))
