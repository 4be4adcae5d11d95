"""A headless Home Assistant that tests start, stop, kill and restart."""

import asyncio
import os
import re
import signal
from contextlib import suppress
from pathlib import Path

from tests.hass.api import Api
from tests.hass.storage import seed
from tests.support.mosquitto import free_port
from tests.support.polling import until
from tests.support.restartable import PATH, Restartable
from tests.support.trees import SHARED, cached, inside, why_not_entered

_HASS = "opt/ha/bin/hass"

# It starts in 10 s on an idle machine with two processors.
_START_S = 180.0
_STOP_S = 60.0

# 2026-11-30 08:00:00.000+00:00 WARNING (MainThread) [homeassistant.components.mqtt.sensor] …
_COMPLAINT = re.compile(r"[\d-]+ [\d:.+]+ (WARNING|ERROR|CRITICAL) ")
# What it logs because of how it is installed here: without pip, ffmpeg and speech.
_OWN = re.compile("Skipping pip installation|FFmpeg|'assist_(pipeline|satellite)'")


def tree() -> Path:
    """Return the folder of the Debian system that has it; ``.ci/hass-test`` makes it."""
    return cached("healthd-hass-test") / "tree"


def why_unusable() -> str | None:
    """Return why Home Assistant cannot be run here, or None if it can."""
    if (why := why_not_entered()) is None and not (tree() / _HASS).exists():
        return "no Home Assistant; make hass-test installs it"
    return why


class HomeAssistant(Restartable):
    """An installation; an async context manager that starts it and in the end kills it.

    Its configuration and its registries stay over a restart.

    Attributes:
        api: its APIs.
        folder: its configuration folder.
    """

    def __init__(self, folder: Path, broker: int, *, recorder: bool = False) -> None:
        """Prepare a new installation.

        Args:
            folder: for its configuration and log; it must not exist.
            broker: the MQTT broker's port on this machine.
            recorder: whether it keeps states and statistics, in SQLite.
        """
        folder.mkdir()
        self.folder = folder / "config"
        self.folder.mkdir()
        self._log = folder / "hass.log"
        self._log.touch()
        port = free_port()
        self.api = Api(port, seed(self.folder, port, broker, recorder=recorder))

    async def start(self) -> None:
        """Start it; return when it has set up everything."""
        options = ("--skip-pip", "--ignore-os-check", "--log-no-color")
        command = inside(tree(), self.folder, f"/{_HASS}", "--config", SHARED, *options)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env={"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": SHARED},
            )

        async def is_up() -> bool:
            assert self._running.returncode is None, self.log[-30:]
            return await self.api.is_running()

        assert await until(is_up, _START_S), self.log[-30:]

    async def stop(self) -> None:
        """Stop it as its service manager would; it saves what it knows."""
        self._send(signal.SIGTERM)
        process, self._process = self._running, None
        async with asyncio.timeout(_STOP_S):
            await process.wait()

    def freeze(self) -> None:
        """Suspend it, like a machine that is busy with something else."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it."""
        self._send(signal.SIGCONT)

    async def kill(self) -> None:
        """``kill -9``."""
        process, self._process = self._running, None
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def _send(self, number: signal.Signals) -> None:
        # The process itself is unshare, which ignores signals; its child is Home Assistant.
        os.kill(_child_of(self._running.pid), number)

    @property
    def log(self) -> list[str]:
        """The lines that it has logged, over all starts."""
        return self._log.read_text(errors="replace").splitlines()

    @property
    def complaints(self) -> list[str]:
        """The warnings and errors that it has logged, over all starts, without its own."""
        return [line for line in self.log if _COMPLAINT.match(line) and not _OWN.search(line)]


def _child_of(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)
