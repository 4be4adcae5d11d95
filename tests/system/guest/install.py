"""Brings healthd onto the machine, from the source tree and without a network."""

import os
import shutil
import subprocess
from pathlib import Path

_PAYLOAD = Path("/payload")
_TREE = Path("/usr/local/src/healthd")
_SETTINGS = Path("/etc/healthd/healthd.toml")
# On an emulated processor, with thirty wheels to unpack and compile.
_INSTALL_TIMEOUT_S = 600.0
_MOSQUITTO = """
listener 1883 localhost
allow_anonymous true
# As config/mosquitto.conf has it: what was acknowledged outlives the broker.
autosave_on_changes true
autosave_interval 1
set_tcp_nodelay true
"""


def prepare() -> None:
    """Settle what the tests expect of the machine beside healthd."""
    Path("/etc/mosquitto/conf.d/system-test.conf").write_text(_MOSQUITTO)
    Path("/etc/modules-load.d/system-test.conf").write_text("hci_vhci\n")


def install() -> None:
    """Install healthd as an administrator does, and have it start at boot.

    Raises:
        subprocess.CalledProcessError: it cannot be installed.
    """
    # Not the payload itself, which is read-only: a build may write into its tree.
    shutil.copytree(_PAYLOAD / "source", _TREE)
    environment = os.environ | {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(_PAYLOAD / "wheels"),
        "HOME": "/root",
    }
    # These are for the tests' own process.
    for name in ("PYTHONPATH", "PYTHONPYCACHEPREFIX"):
        environment.pop(name, None)
    if "\ninstall:" in (_TREE / "Makefile").read_text():
        commands = [["make", "install"]]
    else:
        commands = _by_hand()
    for command in commands:
        subprocess.run(command, cwd=_TREE, env=environment, timeout=_INSTALL_TIMEOUT_S, check=True)
    # As after `make install`: no peripheral. What is added suits a small disk.
    _SETTINGS.write_text('[gateway]\nid = "gateway"\n[outbox]\nmax_size = "4MB"\n')
    for command in (["chmod", "0640", str(_SETTINGS)], ["chgrp", "healthd", str(_SETTINGS)]):
        subprocess.run(command, check=True)
    subprocess.run(["systemctl", "enable", "healthd"], check=True)


def _by_hand() -> list[list[str]]:
    pip = ["/opt/healthd/bin/python", "-m", "pip", "install", "-c", "constraints.txt"]
    return [
        ["python3", "-m", "venv", "/opt/healthd"],
        [*pip, "--quiet", "--disable-pip-version-check", "."],
        ["install", "-Dm644", "systemd/healthd.service", "/etc/systemd/system/healthd.service"],
        ["install", "-Dm644", "systemd/healthd.sysusers", "/usr/lib/sysusers.d/healthd.conf"],
        ["install", "-Dm644", "systemd/healthd.tmpfiles", "/usr/lib/tmpfiles.d/healthd.conf"],
        ["systemd-sysusers"],
        ["systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/healthd.conf"],
    ]
