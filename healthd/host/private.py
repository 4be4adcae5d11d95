"""Files and folders that only their owner may read: samples say something about people's health."""

import os
import re
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

# What healthd puts into its state folder.
_OURS = re.compile(r"outbox\..+|hass-backfill-.+|[a-z]+\.(json|new)|keys|capture")

_OTHERS = 0o077


def make_folder(path: Path) -> None:
    """Create a folder for its owner only; close an existing one that has only healthd's files.

    Raises:
        OSError: it cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
        with suppress(OSError):
            # A link to the folder, for example on another disk, has no permissions of its own.
            folder = path.resolve()
            if all(_OURS.fullmatch(entry.name) for entry in folder.iterdir()):
                _close(folder)


def make_files(path: Path) -> None:
    """Create a file for its owner only, if there is none, and close all files that belong to it.

    These are the files next to it with the same name and other suffixes. Nothing is raised: the
    caller finds out when it uses the file.
    """
    with suppress(OSError):
        # SQLite gives its logs the permissions of the database.
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600))
        for file in path.parent.glob(f"{path.stem}.*"):
            _close(file)


@contextmanager
def acting_as_owner(folder: Path) -> Generator[None]:
    """Let the block use files as the owner of a folder would, if this process may do anything.

    What root creates for the service belongs to the service then. And the service could lead root
    to any other file, by a link in a folder of its own.

    Raises:
        OSError: there is no such folder.
    """
    owner = folder.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([owner.st_gid])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def open_to_others(path: Path) -> bool:
    """Return whether users other than the owner may read or write a file or folder."""
    return bool(path.stat().st_mode & _OTHERS)


def _close(path: Path) -> None:
    status = path.lstat()
    wanted = stat.S_IMODE(status.st_mode) & ~_OTHERS
    usual = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    if usual and status.st_uid == os.geteuid() and wanted != stat.S_IMODE(status.st_mode):
        with suppress(OSError):
            path.chmod(wanted)
