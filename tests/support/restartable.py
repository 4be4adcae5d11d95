"""Servers that tests start, kill and start again."""

import asyncio
import os
import shutil
from types import TracebackType
from typing import Self

# Debian installs servers where the PATH of a user does not lead.
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


def guarded(*command: str) -> list[str]:
    """A command that does not outlive a test run that is killed."""
    setpriv = shutil.which("setpriv", path=PATH)
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)


class Restartable:
    """An async context manager that starts it, and leaves no process behind."""

    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and return when it serves."""
        raise NotImplementedError

    async def kill(self) -> None:
        """``kill -9``."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, however it is."""
        if self._process is not None:
            await self.kill()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "it does not run"
        return self._process
