"""Check the keys that ``healthd pair`` has agreed with devices."""

from collections.abc import Iterator, Mapping

from healthd.doctor.finding import Finding, depend, ok, skipped, warning, wrong
from healthd.doctor.machine import AS_SERVICE, SERVICE_USER, Machine
from healthd.host.folders import state_folder
from healthd.host.private import open_to_others
from healthd.profiles.registry import Registry
from healthd.settings.keys import Keys
from healthd.settings.model import PeripheralSettings, Settings

_CHECK = "keys"


def check_keys(
    machine: Machine, settings: Settings, environ: Mapping[str, str], registry: Registry
) -> list[Finding]:
    """Check each key: that the daemon can read it, and no other user.

    Args:
        machine: the machine to check.
        settings: the settings.
        environ: the daemon's environment.
        registry: the known profiles.
    """
    keys = Keys(state_folder(settings.outbox.directory, environ))
    entries = settings.peripherals
    found = [finding for entry in entries for finding in _key(machine, keys, entry, registry)]
    count = sum(keys.exists(entry.id) for entry in entries)
    # What is wrong with the folder is wrong with each of them.
    return list(dict.fromkeys(found)) or [ok(_CHECK, f"{count} peripherals with a key")]


def _key(
    machine: Machine, keys: Keys, entry: PeripheralSettings, registry: Registry
) -> Iterator[Finding]:
    file = keys.file(entry.id)
    try:
        key = keys.read(entry.id)
        if key is None:
            yield from _absent(entry, registry)
            return
        owner = file.stat().st_uid
        if machine.is_root_for_service and owner != machine.service_uid:
            fix = f"give it to the daemon: sudo chown {SERVICE_USER}: {file}"
            yield wrong(_CHECK, f"{file} does not belong to {SERVICE_USER}", fix)
        elif open_to_others(file):
            yield warning(_CHECK, f"other users can open {file}", f"chmod 600 {file}")
    except PermissionError:
        if machine.service_uid not in (None, machine.uid):
            yield skipped(_CHECK, f"{file} is not accessible for this user", AS_SERVICE)
        else:
            fix = f"give it to the daemon: sudo chown {SERVICE_USER}: {file}"
            yield wrong(_CHECK, f"{file} is not readable", fix)
    except NotADirectoryError:
        if file.parent.exists():
            fix = "remove it: healthd pair creates a folder there"
            yield wrong(_CHECK, f"{file.parent} is not a folder", fix)
        else:
            yield from depend((_CHECK,), "outbox")
    except OSError as error:
        yield wrong(_CHECK, f"{file}: {error.strerror}", "the disk is failing, or is not mounted")
    except ValueError as error:
        yield wrong(_CHECK, str(error), f"write a new one: sudo healthd pair {entry.id} --again")


def _absent(entry: PeripheralSettings, registry: Registry) -> Iterator[Finding]:
    pairing = None if entry.service is None else registry.profiles[entry.service].pairing
    if pairing is not None:
        fix = f"{pairing.hint}, then: sudo healthd pair {entry.id}"
        yield warning(_CHECK, f"{entry.id} has no key yet, and is not read without it", fix)
