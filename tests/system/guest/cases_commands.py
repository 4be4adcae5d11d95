"""Commands of a person, on a machine whose daemon runs: they tell the truth and disturb nobody."""

import json
from pathlib import Path
from typing import Any

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.vm import Failed
from tests.system.guest.world import World

_HEALTHD = "/usr/local/bin/healthd"
_SETTINGS = Path("/etc/healthd/healthd.toml")
# Emulated, Python and its libraries alone take ten seconds; then a scan, or ten checks.
_COMMAND_S = 90.0


@case()
async def doctor(world: World) -> None:
    """A healthy gateway: `healthd doctor` finds nothing wrong, as root and as the service."""
    strap = await world.strap()
    await world.start_streaming()
    for who, command, expected in _ASKERS:
        found = await _told(*command, _HEALTHD, "doctor", "--json")
        # A machine without a network has nobody to tell it the time: that is true, and said.
        wrong = {
            one["check"]: one["found"]
            for one in found["findings"]
            if one["status"] == "wrong" and one["check"] != "clock"
        }
        if wrong:
            raise Failed(f"as {who}: {wrong}")
        checks = {one["check"] for one in found["findings"] if one["status"] == "ok"}
        if missing := {"bluez", "bluez_version", "adapter", *expected} - checks:
            raise Failed(f"as {who}, not ok: {missing} of {found['findings']}")
    await world.streaming(strap)


# Only root may read the password, and only the service's own user knows what the service may.
_ASKERS: tuple[tuple[str, tuple[str, ...], set[str]], ...] = (
    ("root", (), {"broker_acl", "outbox"}),
    (
        "healthd",
        ("setpriv", "--reuid=healthd", "--regid=healthd", "--clear-groups"),
        {"dbus_rights"},
    ),
)


@case()
async def doctor_without_bluetoothd(world: World) -> None:
    """Without bluetoothd `healthd doctor` says so, with exit code 1 and how to fix it."""
    world.configure()
    await vm.run("systemctl", "stop", "bluetooth")
    found = await _told(_HEALTHD, "doctor", "--json")
    one = next(one for one in found["findings"] if one["check"] == "bluez")
    if found["ok"] or one["status"] != "wrong" or "systemctl" not in one["fix"]:
        raise Failed(f"found {one}")


@case()
async def scan_and_add(world: World) -> None:
    """`healthd scan` tells what is linked from what is new, and `--add` puts that into the file."""
    strap = await world.strap()
    await world.start_streaming()
    new = await world.strap("new-strap")
    found = await _told(_HEALTHD, "scan", "--seconds", "6", "--add", new.id, "--json")
    told = {one["address"]: one for one in found["found"]}
    if told.get(strap.address, {}).get("peripheral") != strap.id:
        raise Failed(f"the linked strap is not known: {found}")
    if told.get(new.address, {}).get("profiles", [])[:1] != ["heart_rate"]:
        raise Failed(f"the new strap is not told: {found}")
    if new.address not in _settings():
        raise Failed("it was not added to the settings")
    await world.streaming(strap)


def _settings() -> str:
    return _SETTINGS.read_text()


async def _told(*command: str) -> dict[str, Any]:
    """The JSON that a command prints, whatever its exit code; what it says beside is no JSON."""
    said = await vm.run(*command, timeout_s=_COMMAND_S, may_fail=True)
    line = next((one for one in said.splitlines() if one.startswith("{")), "")
    if not line:
        raise Failed(f"{' '.join(command)} told nothing: {said[-500:]}")
    return json.loads(line)
