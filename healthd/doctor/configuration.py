"""Check the settings and the files that they name, as the daemon reads them."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from healthd.doctor.finding import Finding, depend, ok, skipped, warning, wrong
from healthd.doctor.keys import check_keys
from healthd.doctor.machine import AS_SERVICE, Machine
from healthd.errors import Fatal, FileUnavailable
from healthd.gateway.entry import bond_settings_for, consent_for
from healthd.profiles.registry import Registry
from healthd.settings.environment import ignored_variables
from healthd.settings.file import read
from healthd.settings.model import MqttSettings, Settings
from healthd.settings.problems import SettingsError
from healthd.settings.secret_files import credential, has_unusual_characters, password

# What is checked only with valid settings.
_DEPENDENT = ("secrets", "keys")


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
        settings = read(config, environ, registry.listed)
    except SettingsError as error:
        if isinstance(error.__cause__, PermissionError):
            denied = skipped("settings", f"{config} is not readable for this user", AS_SERVICE)
            return [denied, *depend(_DEPENDENT, "settings")], None
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
        return [*problems, *depend(_DEPENDENT, "settings")], None
    count = len(settings.peripherals)
    read_well = ok("settings", f"{config}: {count} peripherals")
    if not count:
        found = f"{config}: no peripherals"
        read_well = warning("settings", found, "find devices and add them: sudo healthd scan")
    return [
        read_well,
        *_ignored_variables(environ),
        _secrets(machine, settings),
        *check_keys(machine, settings, environ, registry),
        *_password(settings.mqtt, environ),
    ], settings


def _ignored_variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    for variable in ignored_variables(environ):
        fix = "a setting is HEALTHD_<SECTION>__<KEY>, with two underscores; ignore other variables"
        yield warning("settings", f"the variable {variable} is not a setting", fix)


def _password(mqtt: MqttSettings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the broker's password, if it can be read; the broker check reports if it cannot."""
    file = mqtt.password_file or credential(environ)
    if file is None:
        return
    with suppress(OSError, ValueError):
        secret = password(mqtt, environ)
        if secret is not None and has_unusual_characters(secret):
            found = f"{file}: the password begins or ends with a space, or has invisible characters"
            fix = "they are sent as a part of the password; if they are not, write it again"
            yield warning("secrets", found, fix)
        elif not file.exists() or (secret is None and mqtt.username):
            found = f"{file} is empty or missing: healthd logs in to the broker without a password"
            fix = "write the password into it, then: sudo systemctl restart healthd"
            yield warning("secrets", found, fix)


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
            if isinstance(error, FileUnavailable):
                return wrong("secrets", str(error), "check the path, or restore the file")
            return wrong("secrets", str(error), "write only the digits into the file")
    if entries and machine.is_root_for_service:
        return skipped("secrets", "root can read all files", AS_SERVICE)
    return ok("secrets", f"{len(entries)} peripherals with a passkey or a consent code")
