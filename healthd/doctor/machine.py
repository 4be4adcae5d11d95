"""The machine that is looked at: its files, its programs, and who asks."""

import asyncio
import os
import pwd
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# The programs that are asked answer within a second; systemd-analyze on a Pi Zero takes three.
_PROGRAM_TIMEOUT_S = 15.0

# The user that the unit runs as.
SERVICE_USER = "healthd"

# What the unit gives the daemon, where a command is started by a person.
_UNIT_FOLDERS = {"CREDENTIALS_DIRECTORY": "etc/healthd", "STATE_DIRECTORY": "var/lib/healthd"}

AS_SERVICE = f"ask as the service: sudo -u {SERVICE_USER} healthd doctor"
AS_ROOT = "ask as root: sudo healthd doctor"


def _service_uid() -> int | None:
    try:
        return pwd.getpwnam(SERVICE_USER).pw_uid
    except KeyError:
        return None


@dataclass(frozen=True, slots=True)
class Machine:
    """Where everything is.

    Attributes:
        environ: the environment of the command.
        root: what the absolute paths of the system are below.
        uid: who asks.
        service_uid: the unit's user; None where there is none.
    """

    environ: Mapping[str, str]
    root: Path = Path("/")
    uid: int = field(default_factory=os.geteuid)
    service_uid: int | None = field(default_factory=_service_uid)

    def path(self, below_root: str) -> Path:
        """A path of the system."""
        return self.root / below_root

    def text(self, below_root: str) -> str | None:
        """A small file's content without the blanks around it; None where it cannot be read."""
        try:
            raw = self.path(below_root).read_bytes()
        except OSError:
            return None
        # Files of the device tree end with a null byte.
        return raw.decode(errors="replace").strip("\0 \n")

    @property
    def asks_for_another(self) -> bool:
        """Whether root asks what the service's user may do: root may nearly everything."""
        return self.uid == 0 and self.service_uid not in (None, 0)

    def as_daemon(self, *, installed: bool) -> Mapping[str, str]:
        """The environment that the daemon has.

        Args:
            installed: the settings are those of the unit, which names these folders.
        """
        if not installed:
            return self.environ
        folders = {name: self.path(folder) for name, folder in _UNIT_FOLDERS.items()}
        there = {name: str(folder) for name, folder in folders.items() if folder.is_dir()}
        return {**there, **self.environ}

    async def output(self, program: str, *arguments: str) -> str | None:
        """What a program writes; None where there is no such program, or it fails or hangs."""
        found = shutil.which(program, path=self.environ.get("PATH", os.defpath))
        if found is None:
            return None
        # Terminals get colours and translations; this is read by a program.
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
