"""The payload for the guest: the source tree, the wheels, and which cases to run."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.system.guests import Guest
from tests.system.wheels import wheels_of

_SOURCE = Path(__file__).parents[2]
_UNIT = """
[Unit]
Description=System test of healthd
# After the boot, like an administrator who logs in: healthd has to start by itself.
After=multi-user.target

[Service]
Environment=PYTHONPATH=/payload/source:/payload/modules
# The payload is read-only, and compiling bumble again after a reboot would take half a minute.
Environment=PYTHONPYCACHEPREFIX=/var/cache/system-test
ExecStart=/usr/bin/python3 -m tests.system.guest
# Through journald: the login prompt on that line would close it for other processes.
StandardOutput=journal+console
StandardError=journal+console
"""


def pack(guest: Guest, plan: Mapping[str, Any], folder: Path) -> Path:
    """Make the file system of the payload.

    Args:
        guest: the guest that it is for.
        plan: what the guest has to do; stored as ``plan.json``.
        folder: where to make it.
    """
    tree = folder / "payload"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=_SOURCE,
        check=True,
        stdout=subprocess.PIPE,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        # A file that is deleted and not yet committed is still listed.
        if (_SOURCE / name).is_file():
            target = tree / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(_SOURCE / name, target)
    wheels, modules = wheels_of(guest)
    shutil.copytree(wheels, tree / "wheels")
    shutil.copytree(modules, tree / "modules")
    (tree / "plan.json").write_text(json.dumps(plan))
    (tree / "system-test.service").write_text(_UNIT)
    packed = folder / "payload.squashfs"
    # Not compressed: an emulated processor reads it, and only once.
    plain = ("-noI", "-noD", "-noF", "-noX", "-no-xattrs", "-all-root")
    command = ["mksquashfs", str(tree), str(packed), "-quiet", "-no-progress", *plain]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return packed
