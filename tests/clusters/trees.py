"""Debian systems in folders, and programs that run inside them without touching this machine's."""

import os
import shutil
from pathlib import Path

from tests.support.restartable import PATH, guarded

# Debian 12 has the brokers that many gateways meet, and the next Debian has current ones.
OLD, NEW = "bookworm", "forky"

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


def tree(suite: str) -> Path:
    """Return the folder of a Debian release; ``.ci/cluster-test`` makes it."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "healthd-cluster-test" / suite


def why_unusable(suite: str) -> str | None:
    """Return why programs of this release cannot be run here, or None if they can."""
    if shutil.which("unshare", path=PATH) is None:
        return "no unshare on this machine; apt-get install util-linux"
    if not tree(suite).is_dir():
        return f"no brokers of Debian {suite}; make cluster-test installs them"
    return None


def inside(suite: str, shared: Path, *command: str) -> list[str]:
    """Return a command that runs another one inside a tree, with all its children.

    A signal KILL ends them all at once, as a power cut would.

    Args:
        suite: the Debian release.
        shared: the folder that the command finds as ``SHARED``.
        command: the program, by its path in the tree, and its arguments.
    """
    # A user may do this in a user namespace of its own.
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    namespaces = [*as_root, "--mount", "--pid", "--fork", "--kill-child"]
    enter = ["sh", "-ec", _ENTER, "sh", str(tree(suite)), str(shared)]
    return guarded("unshare", *namespaces, *enter, *command)
