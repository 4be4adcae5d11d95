"""Installs healthd on the machine, from the source tree and without a network."""

import os
import shutil
import subprocess
from pathlib import Path

_PAYLOAD = Path("/payload")
_TREE = Path("/usr/local/src/healthd")
# Emulated, with thirty wheels to unpack and compile.
_MAKE_S = 600.0
_MOSQUITTO = """
listener 1883 localhost
allow_anonymous true
# As in config/mosquitto.conf: acknowledged messages survive a restart of the broker.
autosave_on_changes true
autosave_interval 1
set_tcp_nodelay true
"""


def prepare() -> None:
    """Set up what the tests expect from the machine, except for healthd."""
    Path("/etc/mosquitto/conf.d/system-test.conf").write_text(_MOSQUITTO)
    Path("/etc/modules-load.d/system-test.conf").write_text("hci_vhci\n")
    # A copy, because the payload is read-only and a build may write into its tree.
    shutil.copytree(_PAYLOAD / "source", _TREE)


def make(target: str) -> str:
    """Run ``make install`` or ``make uninstall`` as an administrator does; return its output.

    Raises:
        RuntimeError: it failed; the message has its output.
    """
    # These are only for the process of the tests.
    ours = ("PYTHONPATH", "PYTHONPYCACHEPREFIX")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {
        "HOME": "/root",
        # How pip works without a network.
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(_PAYLOAD / "wheels"),
    }
    made = subprocess.run(
        ["make", target],
        cwd=_TREE,
        env=environment,
        timeout=_MAKE_S,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if made.returncode:
        raise RuntimeError(f"make {target} ended with {made.returncode}: {made.stdout[-3000:]}")
    return made.stdout
