"""The outbox's folder: ours, writable, with space; asked without taking it from a daemon."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

from healthd.doctor.aside import aside
from healthd.doctor.finding import Finding, Status, depend, ok, skipped, warning, wrong
from healthd.doctor.machine import AS_SERVICE, SERVICE_USER, Machine
from healthd.host.folders import state_folder
from healthd.outbox.outbox import STORE_NAME
from healthd.outbox.tally import read_stats
from healthd.settings.model import Settings

# A block of any usual file system: less may fit into what a full disk has left.
_PROBE_BYTES = 65536

# A slow card takes seconds for an fsync, and to count a large outbox on it some more.
_TIMEOUT_S = 30.0

_FIXES = {
    errno.EROFS: "its disk went read-only, as a failing SD card does: `dmesg` says why; replace it",
    errno.EIO: "its disk fails: `dmesg` says how; replace it",
    errno.ENOSPC: "its disk is full: `sudo du -xh / | sort -h | tail` says with what",
    errno.EDQUOT: "the quota of its user is used up",
}


async def check_outbox(
    machine: Machine, settings: Settings | None, environ: Mapping[str, str]
) -> list[Finding]:
    """The folder, and the space that it has.

    Args:
        machine: whose.
        settings: None where they are bad.
        environ: what the daemon's is.
    """
    if settings is None:
        return depend(("outbox", "space"), "settings")
    folder = state_folder(settings.outbox.directory, environ)
    max_size = settings.outbox.max_size
    try:
        return await aside(lambda: _look(machine, folder, max_size), _TIMEOUT_S)
    except TimeoutError:
        found = wrong("outbox", f"{folder}: no answer in {_TIMEOUT_S:.0f} s", _FIXES[errno.EIO])
        return [found, *depend(("space",), "outbox")]


def _look(machine: Machine, folder: Path, max_size: int) -> list[Finding]:
    found = _folder(machine, folder)
    if found.status in (Status.WRONG, Status.SKIPPED):
        return [found, *depend(("space",), "outbox")]
    return [found, _space(folder, max_size)]


def _folder(machine: Machine, folder: Path) -> Finding:
    try:
        if not folder.exists():
            return _absent(folder)
        owner = folder.stat().st_uid
        if machine.asks_for_another and owner != machine.service_uid:
            return _denied(folder, f"{folder} is not {SERVICE_USER}'s")
        with TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
        return _waiting(folder / STORE_NAME)
    except PermissionError as error:
        if machine.service_uid not in (None, machine.uid):
            return skipped("outbox", f"{folder} is not for this user", AS_SERVICE)
        return _denied(folder, str(error))
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "name a folder in [outbox] directory")
        return wrong("outbox", f"{folder}: {error.strerror}", fix)


def _denied(folder: Path, why: str) -> Finding:
    fix = f"give it to the daemon: sudo chown -R {SERVICE_USER}: {folder}"
    return wrong("outbox", why, fix)


def _absent(folder: Path) -> Finding:
    """A folder that the daemon makes when it starts: whether it can."""
    parent = next(one for one in folder.parents if one.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        fix = f"make it: sudo install -d -o {SERVICE_USER} -m 700 {folder}"
        return wrong("outbox", f"{folder} is not there, and cannot be made", fix)
    return ok("outbox", f"{folder} will be made")


def _waiting(store: Path) -> Finding:
    if not store.exists():
        return ok("outbox", f"{store.parent} can be written")
    try:
        # Read-only by address: opening it in the ordinary way could change its files' owner.
        db = sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)
        try:
            count = sum(one.count for one in read_stats(db))
        finally:
            db.close()
    except sqlite3.Error as error:
        fix = "nothing by hand: healthd sets a damaged one aside and starts anew at its next start"
        return warning("outbox", f"{store}: {error}", fix)
    return ok("outbox", f"{store}: {count} samples wait")


def _space(folder: Path, max_size: int) -> Finding:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    store = folder / STORE_NAME
    try:
        free = shutil.disk_usage(there).free
        claimed = store.stat().st_size if store.exists() else 0
    except OSError as error:
        return skipped("space", f"{folder}: {error.strerror}")
    missing = max(max_size - claimed, 0)
    found = f"{free / 1e6:.0f} MB free, {missing / 1e6:.0f} MB still to be claimed"
    if free < missing:
        fix = "free some, or set [outbox] max_size to what the disk has: it will keep fewer samples"
        return warning("space", found, fix)
    return ok("space", found)
