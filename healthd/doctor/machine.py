"""The machine to check: its files, its programs, and the user who runs the command."""

import asyncio
import os
import pwd
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# The programs answer within a second; systemd-analyze on a Pi Zero takes three.
_PROGRAM_TIMEOUT_S = 15.0

# The user that the unit runs as.
SERVICE_USER = "healthd"

# Variables that the unit sets for the daemon, and their folders, for a command started by a user.
_UNIT_FOLDERS = {"CREDENTIALS_DIRECTORY": "etc/healthd", "STATE_DIRECTORY": "var/lib/healthd"}

AS_SERVICE = f"run it as the service's user: sudo -u {SERVICE_USER} healthd doctor"
AS_ROOT = "run it as root: sudo healthd doctor"


def _service_uid() -> int | None:
    try:
        return pwd.getpwnam(SERVICE_USER).pw_uid
    except KeyError:
        return None


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with its files and programs.

    Attributes:
        environ: the environment of the command.
        root: the folder that contains the system's absolute paths.
        uid: the user who runs the command.
        service_uid: the unit's user; None if it does not exist.
    """

    environ: Mapping[str, str]
    root: Path = Path("/")
    uid: int = field(default_factory=os.geteuid)
    service_uid: int | None = field(default_factory=_service_uid)

    def path(self, below_root: str) -> Path:
        """Return a path of the system."""
        return self.root / below_root

    def text(self, below_root: str) -> str | None:
        """Return a small file's content, stripped; None if it cannot be read."""
        try:
            raw = self.path(below_root).read_bytes()
        except OSError:
            return None
        # Files of the device tree end with a null byte.
        return raw.decode(errors="replace").strip("\0 \n")

    @property
    def is_root_for_service(self) -> bool:
        """Return whether root runs the checks, which then cannot show the service's rights."""
        return self.uid == 0 and self.service_uid not in (None, 0)

    def as_daemon(self, *, installed: bool) -> Mapping[str, str]:
        """Return the environment of the daemon.

        Args:
            installed: whether the settings are those of the installed unit, which sets the folders.
        """
        if not installed:
            return self.environ
        folders = {name: self.path(folder) for name, folder in _UNIT_FOLDERS.items()}
        existing = {name: str(folder) for name, folder in folders.items() if folder.is_dir()}
        return {**existing, **self.environ}

    async def output(self, program: str, *arguments: str) -> str | None:
        """Run a program and return its output; None if it does not exist, fails or hangs."""
        found = shutil.which(program, path=self.environ.get("PATH", os.defpath))
        if found is None:
            return None
        # No colours and translations: the output is parsed.
        environ = {**self.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_EMOJI": "0"}
        process = await asyncio.create_subprocess_exec(
            found,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environ,
        )
        try:
            async with asyncio.timeout(_PROGRAM_TIMEOUT_S):
                written, _ = await process.communicate()
        except TimeoutError:
            return None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return written.decode(errors="replace") if process.returncode == 0 else None
