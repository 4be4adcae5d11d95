"""The settings and the files that they name, read as the daemon reads them."""

from collections.abc import Mapping
from pathlib import Path

from healthd.doctor.finding import Finding, depend, ok, skipped, warning, wrong
from healthd.doctor.machine import AS_SERVICE, Machine
from healthd.errors import Fatal
from healthd.gateway.entry import bond_settings_for, consent_for
from healthd.profiles.registry import Registry
from healthd.settings.file import SettingsError, read
from healthd.settings.model import Settings


def check_settings(
    machine: Machine, config: Path, environ: Mapping[str, str], registry: Registry
) -> tuple[list[Finding], Settings | None]:
    """Read the settings.

    Args:
        machine: whose.
        config: the file.
        environ: what the daemon's is.
        registry: knows the services that may be named.

    Returns:
        What was found, and the settings; None where they cannot be used.
    """
    try:
        settings = read(config, environ, registry.profiles)
    except SettingsError as error:
        if isinstance(error.__cause__, PermissionError):
            denied = skipped("settings", f"{config} is not for this user", AS_SERVICE)
            return [denied, *depend(("secrets",), "settings")], None
        problems = [
            wrong(
                "settings",
                f"{one.source}: {one.key}: found {one.found}"
                if one.key
                else f"{one.source}: {one.found}",
                f"expected {one.expected}",
            )
            for one in error.problems
        ]
        return [*problems, *depend(("secrets",), "settings")], None
    count = len(settings.peripherals)
    if not count:
        nobody = f"{config}: no peripherals"
        fix = "find some: sudo healthd scan"
        return [warning("settings", nobody, fix), _secrets(machine, settings)], settings
    return [ok("settings", f"{config}: {count} peripherals"), _secrets(machine, settings)], settings


def _secrets(machine: Machine, settings: Settings) -> Finding:
    """Passkeys and consent codes; the broker's password is the broker's."""
    named = [one for one in settings.peripherals if one.passkey_file or one.consent_file]
    for one in named:
        try:
            bond_settings_for(one)
            consent_for(one)
        except Fatal as error:
            if isinstance(error.__cause__, PermissionError):
                fix = "let healthd read it: sudo chown root:healthd FILE; sudo chmod 640 FILE"
                return wrong("secrets", str(error), fix)
            return wrong("secrets", str(error), "write the digits into it, and nothing else")
    if named and machine.asks_for_another:
        return skipped("secrets", "root can read the files of all codes", AS_SERVICE)
    return ok("secrets", f"{len(named)} peripherals with a passkey or a consent code")
