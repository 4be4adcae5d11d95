"""Check the outbox's folder: owner, write access and space, without locking out a daemon."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

from healthd.doctor.finding import Finding, Status, depend, ok, skipped, warning, wrong
from healthd.doctor.machine import AS_SERVICE, SERVICE_USER, Machine
from healthd.host.folders import broken_link, state_folder
from healthd.host.in_thread import run_in_thread
from healthd.host.private import open_to_others
from healthd.outbox.database import NotAFile, open_read_only
from healthd.outbox.outbox import STORE_NAME
from healthd.outbox.set_aside import files_set_aside
from healthd.outbox.tally import read_stats
from healthd.outbox.version import OtherVersion
from healthd.settings.model import Settings

# More than a block of any usual file system: less may still fit on a full disk.
_PROBE_BYTES = 65536

# A slow SD card takes seconds for an fsync, and longer to count a large outbox.
_TIMEOUT_S = 30.0

_OTHER_VERSION = (
    "install the version of healthd that wrote it to deliver its samples; this version renames the"
    " file at its next start and creates a new one"
)

_SET_ASIDE = (
    "what healthd can read of damaged files (corrupt, rows) is delivered; recover the samples of"
    " others as described in docs/delivery.md, or delete them"
)

_EXPOSED = (
    "samples are about people's health: `chmod 700` for the folder, `chmod 600` for the file;"
    " healthd does so at its start, unless the folder has files of other programs"
)

_FIXES = {
    errno.EROFS: "the disk became read-only, as failing SD cards do; see `dmesg`, and replace it",
    errno.EIO: "the disk is failing; see `dmesg`, and replace it",
    errno.ENOSPC: "the disk is full; find large folders: `sudo du -xh / | sort -h | tail`",
    errno.EDQUOT: "the disk quota of this user is used up; raise it or free space",
}


async def check_outbox(
    machine: Machine, settings: Settings | None, environ: Mapping[str, str]
) -> list[Finding]:
    """Check the folder and its free space.

    Args:
        machine: the machine to check.
        settings: None if they are invalid.
        environ: the daemon's environment.
    """
    if settings is None:
        return depend(("outbox", "space"), "settings")
    folder = state_folder(settings.outbox.directory, environ)
    max_size = settings.outbox.max_size
    try:
        return await run_in_thread(lambda: _check(machine, folder, max_size), _TIMEOUT_S)
    except TimeoutError:
        found = wrong("outbox", f"{folder}: no answer in {_TIMEOUT_S:.0f} s", _FIXES[errno.EIO])
        return [found, *depend(("space",), "outbox")]


def _check(machine: Machine, folder: Path, max_size: int) -> list[Finding]:
    found = _folder(machine, folder)
    if found.status in (Status.WRONG, Status.SKIPPED):
        return [found, *depend(("space",), "outbox")]
    return [found, _space(folder, max_size)]


def _folder(machine: Machine, folder: Path) -> Finding:
    try:
        if (link := broken_link(folder)) is not None:
            return _broken(link)
        if not folder.exists():
            return _absent(folder)
        owner = folder.stat().st_uid
        if machine.is_root_for_service and owner != machine.service_uid:
            return _denied(folder, f"{folder} does not belong to {SERVICE_USER}")
        with TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
        return _waiting(folder / STORE_NAME)
    except PermissionError as error:
        if machine.service_uid not in (None, machine.uid):
            return skipped("outbox", f"{folder} is not accessible for this user", AS_SERVICE)
        return _denied(folder, str(error))
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "set [outbox] directory to a usable folder")
        return wrong("outbox", f"{folder}: {error.strerror}", fix)


def _denied(folder: Path, found: str) -> Finding:
    fix = f"give it to the daemon: sudo chown -R {SERVICE_USER}: {folder}"
    return wrong("outbox", found, fix)


def _broken(link: Path) -> Finding:
    found = f"{link} is a link to {link.readlink()}, which does not exist"
    return wrong("outbox", found, "mount the disk that has it, or correct the link")


def _absent(folder: Path) -> Finding:
    """Check whether the daemon can create the missing folder at its start."""
    parent = next(path for path in folder.parents if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        fix = f"create it: sudo install -d -o {SERVICE_USER} -m 700 {folder}"
        return wrong("outbox", f"{folder} does not exist and cannot be created", fix)
    return ok("outbox", f"{folder} will be created")


def _waiting(store: Path) -> Finding:
    if not store.exists():
        if not store.resolve().parent.is_dir():
            return _broken(store)
        return ok("outbox", f"{store.parent} is writable")
    try:
        db = open_read_only(store)
        try:
            count = sum(stream.count for stream in read_stats(db))
        finally:
            db.close()
    except OtherVersion as other:
        return warning("outbox", f"{store}: {other}", _OTHER_VERSION)
    except NotAFile as error:
        fix = "move it away; healthd then creates a new file at its next start"
        return wrong("outbox", str(error), fix)
    except sqlite3.Error as error:
        fix = "nothing to do: healthd creates a new one and copies what is intact"
        return warning("outbox", f"{store}: {error}", fix)
    found = f"{store}: {count} samples waiting"
    if aside := ", ".join(file.name for file in files_set_aside(store)):
        return warning("outbox", f"{found}; set aside: {aside}", _SET_ASIDE)
    if exposed := [str(path) for path in (store.parent, store) if open_to_others(path)]:
        return warning("outbox", f"{found}; other users can open {', '.join(exposed)}", _EXPOSED)
    return ok("outbox", found)


def _space(folder: Path, max_size: int) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    store = folder / STORE_NAME
    try:
        free = shutil.disk_usage(existing).free
        reserved = store.stat().st_size if store.exists() else 0
    except OSError as error:
        return skipped("space", f"{folder}: {error.strerror}")
    missing = max(max_size - reserved, 0)
    found = f"{free / 1e6:.0f} MB free, {missing / 1e6:.0f} MB still to be reserved"
    if free < missing:
        fix = "free some space, or lower [outbox] max_size: the outbox then holds fewer samples"
        return warning("space", found, fix)
    return ok("space", found)
