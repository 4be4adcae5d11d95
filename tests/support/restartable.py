"""Servers that tests start, kill and restart."""

import asyncio
import os
import shutil
from types import TracebackType
from typing import Self

# Debian installs servers in folders that are not on the PATH of a user.
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


def guarded(*command: str) -> list[str]:
    """Return a command that ends with the test run, even if that is killed."""
    setpriv = shutil.which("setpriv", path=PATH)
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)


class Restartable:
    """A server process; an async context manager that starts it and kills it in the end."""

    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; return when it accepts connections."""
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
        """Kill it if it is running."""
        if self._process is not None:
            await self.kill()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "it is not running"
        return self._process
