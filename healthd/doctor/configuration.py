"""Check the settings and the files that they name, as the daemon reads them."""

from collections.abc import Mapping
from pathlib import Path

from healthd.doctor.finding import Finding, depend, ok, skipped, warning, wrong
from healthd.doctor.machine import AS_SERVICE, Machine
from healthd.errors import Fatal
from healthd.gateway.entry import bond_settings_for, consent_for
from healthd.profiles.registry import Registry
from healthd.settings.file import read
from healthd.settings.model import Settings
from healthd.settings.problems import SettingsError


def check_settings(
    machine: Machine, config: Path, environ: Mapping[str, str], registry: Registry
) -> tuple[list[Finding], Settings | None]:
    """Read the settings.

    Args:
        machine: the machine to check.
        config: the settings file.
        environ: the daemon's environment.
        registry: the known profiles, whose services the settings can name.

    Returns:
        The findings, and the settings; None if they are invalid.
    """
    try:
        settings = read(config, environ, registry.profiles)
    except SettingsError as error:
        if isinstance(error.__cause__, PermissionError):
            denied = skipped("settings", f"{config} is not readable for this user", AS_SERVICE)
            return [denied, *depend(("secrets",), "settings")], None
        problems = [
            wrong(
                "settings",
                f"{problem.source}: {problem.key}: found {problem.found}"
                if problem.key
                else f"{problem.source}: {problem.found}",
                f"expected {problem.expected}",
            )
            for problem in error.problems
        ]
        return [*problems, *depend(("secrets",), "settings")], None
    count = len(settings.peripherals)
    if not count:
        found = f"{config}: no peripherals"
        fix = "find devices and add them: sudo healthd scan"
        return [warning("settings", found, fix), _secrets(machine, settings)], settings
    return [ok("settings", f"{config}: {count} peripherals"), _secrets(machine, settings)], settings


def _secrets(machine: Machine, settings: Settings) -> Finding:
    """Check the files of passkeys and consent codes; the broker check reads the password."""
    entries = [entry for entry in settings.peripherals if entry.passkey_file or entry.consent_file]
    for entry in entries:
        try:
            bond_settings_for(entry)
            consent_for(entry)
        except Fatal as error:
            if isinstance(error.__cause__, PermissionError):
                fix = "let healthd read it: sudo chown root:healthd FILE; sudo chmod 640 FILE"
                return wrong("secrets", str(error), fix)
            return wrong("secrets", str(error), "write only the digits into the file")
    if entries and machine.is_root_for_service:
        return skipped("secrets", "root can read all files", AS_SERVICE)
    return ok("secrets", f"{len(entries)} peripherals with a passkey or a consent code")
