"""Debian systems in folders, and programs that run inside them without touching this machine's."""

import os
import shutil
from pathlib import Path

from tests.support.restartable import PATH, guarded

SHARED = "/srv"
"""Where a program in a tree finds the folder that it shares with the test."""

# /dev and /proc are those of this machine and of the new process namespace.
_ENTER = """
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount --bind "$2" "$1/srv"
tree=$1
shift 2
exec chroot "$tree" "$@"
"""


def cached(name: str) -> Path:
    """Return the folder in which a script of ``.ci`` keeps what it has installed."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / name


def why_not_entered() -> str | None:
    """Return why no tree can be entered on this machine, or None if it can."""
    if shutil.which("unshare", path=PATH) is None:
        return "no unshare on this machine; apt-get install util-linux"
    return None


def inside(tree: Path, shared: Path, *command: str) -> list[str]:
    """Return a command that runs another one inside a tree, with all its children.

    A signal KILL ends them all at once, as a power cut would.

    Args:
        tree: the folder with the Debian system.
        shared: the folder that the command finds as ``SHARED``.
        command: the program, by its path in the tree, and its arguments.
    """
    # A user may do this in a user namespace of its own.
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    namespaces = [*as_root, "--mount", "--pid", "--fork", "--kill-child"]
    enter = ["sh", "-ec", _ENTER, "sh", str(tree), str(shared)]
    return guarded("unshare", *namespaces, *enter, *command)
