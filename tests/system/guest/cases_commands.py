"""Commands of a user next to a running daemon: correct output, no disturbance of the links."""

import json
from pathlib import Path
from typing import Any

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.straps import Strap
from tests.system.guest.vm import Failed
from tests.system.guest.world import World

_HEALTHD = "/usr/local/bin/healthd"
_SETTINGS = Path("/etc/healthd/healthd.toml")
# Emulated, starting Python takes ten seconds; then comes a scan, or ten checks.
_COMMAND_S = 90.0


@case()
async def doctor_and_scan(world: World) -> None:
    """`healthd doctor` finds nothing wrong, as root or the service; `healthd scan` adds a strap."""
    strap = await world.strap()
    await world.start_streaming()
    for user, command, expected in _USERS:
        found = await _json(*command, _HEALTHD, "doctor", "--json")
        # The machine has no network, so its clock is rightly reported as not synchronised.
        wrong = {
            finding["check"]: finding["found"]
            for finding in found["findings"]
            if finding["status"] == "wrong" and finding["check"] != "clock"
        }
        if wrong:
            raise Failed(f"as {user}: {wrong}")
        checks = {row["check"] for row in found["findings"] if row["status"] == "ok"}
        if missing := {"bluez", "bluez_version", "adapter", *expected} - checks:
            raise Failed(f"as {user}, not ok: {missing} of {found['findings']}")
    await world.streaming(strap)
    await _scan_and_add(world, strap)
    await world.streaming(strap)


async def _scan_and_add(world: World, linked: Strap) -> None:
    new = await world.strap("new-strap")
    found = await _json(_HEALTHD, "scan", "--seconds", "6", "--add", new.id, "--json")
    devices = {device["address"]: device for device in found["found"]}
    if devices.get(linked.address, {}).get("peripheral") != linked.id:
        raise Failed(f"the linked strap is not known: {found}")
    if devices.get(new.address, {}).get("profiles", [])[:1] != ["heart_rate"]:
        raise Failed(f"the new strap is not found: {found}")
    if new.address not in _settings():
        raise Failed("it was not added to the settings")


# Only root may read the password; only the service's own user can check the service's rights.
_USERS: tuple[tuple[str, tuple[str, ...], set[str]], ...] = (
    ("root", (), {"broker_acl", "outbox"}),
    (
        "healthd",
        ("setpriv", "--reuid=healthd", "--regid=healthd", "--clear-groups"),
        {"dbus_rights"},
    ),
)


@case()
async def doctor_without_bluetoothd(world: World) -> None:
    """Without bluetoothd `healthd doctor` reports that, with how to fix it and exit code 1."""
    world.configure()
    await vm.run("systemctl", "stop", "bluetooth")
    found = await _json(_HEALTHD, "doctor", "--json")
    bluez = next(row for row in found["findings"] if row["check"] == "bluez")
    if found["ok"] or bluez["status"] != "wrong" or "systemctl" not in bluez["fix"]:
        raise Failed(f"found {bluez}")


def _settings() -> str:
    return _SETTINGS.read_text()


async def _json(*command: str) -> dict[str, Any]:
    """Return the JSON that a command prints among other lines, whatever its exit code."""
    output = await vm.run(*command, timeout_s=_COMMAND_S, may_fail=True)
    line = next((line for line in output.splitlines() if line.startswith("{")), "")
    if not line:
        raise Failed(f"{' '.join(command)} printed no JSON: {output[-500:]}")
    return json.loads(line)
