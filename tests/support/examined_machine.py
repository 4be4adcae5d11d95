"""A machine for `healthd doctor` to examine: healthy until a test breaks a part of it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.support.process import HEALTHD, clean_environment

BOUND_S = 50.0

_ROOT = Path(__file__).parents[2]

# The doctor as the command runs it, but for a machine whose files are in a folder of the test.
_DOCTOR = """
import os, sys
from pathlib import Path
from healthd.cli.doctor import main
from healthd.doctor.machine import Machine
service_uid = int(sys.argv[3]) if sys.argv[3] else None
machine = Machine(os.environ, Path(sys.argv[2]), service_uid=service_uid)
sys.exit(main(Path(sys.argv[1]), sys.argv[4] == "json", machine))
"""

_FILES = {
    "sys/class/rfkill/rfkill0/type": "bluetooth\n",
    "sys/class/rfkill/rfkill0/name": "hci0\n",
    "sys/class/rfkill/rfkill0/soft": "0\n",
    "sys/class/rfkill/rfkill0/hard": "0\n",
    "sys/class/rfkill/rfkill1/type": "wlan\n",
    "sys/class/rfkill/rfkill1/name": "phy0\n",
    "sys/class/rfkill/rfkill1/soft": "1\n",
    "sys/class/rfkill/rfkill1/hard": "1\n",
    "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
    "run/systemd/timesync/synchronized": "",
}


@dataclass(frozen=True)
class Report:
    """The report of the doctor.

    Attributes:
        code: its exit code.
        ok: whether it found nothing wrong.
        findings: one for each line.
    """

    code: int
    ok: bool
    findings: list[dict[str, str]]

    def having(self, status: str) -> list[str]:
        """Return the checks with this status, in order."""
        return [finding["check"] for finding in self.findings if finding["status"] == status]

    def of(self, check: str) -> dict[str, str]:
        """Return the only finding of a check."""
        (found,) = (finding for finding in self.findings if finding["check"] == check)
        return found


class ExaminedMachine:
    """A machine with a gateway.

    Attributes:
        settings: the sections of its settings; tests change them.
        root: the folder with its files.
        outbox: the folder of its outbox.
        service_uid: the user of its service, if there is one.
        environ: added to the doctor's environment.
        straps: how many peripherals it has.
    """

    def __init__(self, folder: Path, broker: str) -> None:
        """Make a machine in ``folder`` that publishes to ``broker``."""
        self.root = folder / "root"
        self.outbox = folder / "state"
        self.outbox.mkdir()
        self.service_uid: int | None = None
        self.environ: dict[str, str] = {}
        self.straps = 1
        self._config = folder / "healthd.toml"
        password = folder / "password"
        password.write_text("right\n")
        self.settings: dict[str, dict[str, Any]] = {
            "gateway": {"id": "gateway"},
            "mqtt": {
                "brokers": [broker],
                "username": "gateway",
                "password_file": str(password),
            },
            "outbox": {"directory": str(self.outbox), "max_size": "1MB"},
            "bluetooth": {},
        }
        for name, content in _FILES.items():
            self.write(name, content)
        unit = self.root / "usr/local/lib/systemd/system/healthd.service"
        unit.parent.mkdir(parents=True)
        shutil.copy(_ROOT / "systemd/healthd.service", unit)

    def write(self, name: str, content: str) -> None:
        """Write a file of the machine."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def program(self, name: str, output: str) -> None:
        """Add a program to the machine that prints this."""
        folder = self.root / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\necho '{output}'\n")
        (folder / name).chmod(0o755)
        self.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"

    async def examined(self) -> Report:
        """Run the doctor, and return its report."""
        code, out = await self.asked("json")
        report = orjson.loads(out)
        return Report(code, report["ok"], report["findings"])

    async def asked(self, form: str) -> tuple[int, str]:
        """Run the doctor; return its exit code, and its output as JSON (``json``) or as text."""
        self._config.write_text(self._toml())
        service_uid = "" if self.service_uid is None else str(self.service_uid)
        environ = {**clean_environment(), "COLUMNS": "200", **self.environ}
        arguments = (str(self._config), str(self.root), service_uid, form)
        process = await HEALTHD.start(_DOCTOR, arguments, environ)
        code, out, err = await process.communicate(BOUND_S)
        assert err == b"", err.decode()
        return code, out.decode()

    def _toml(self) -> str:
        sections = [
            "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())])
            for name, section in self.settings.items()
        ]
        straps = [
            f'[[peripherals]]\nid = "strap-{n}"\nname = "Strap {n}"' for n in range(self.straps)
        ]
        return "\n".join([*sections, *straps])


def _toml(value: object) -> str:
    # Strings, numbers, booleans and lists look the same in JSON.
    return orjson.dumps(value).decode()
