"""A real mosquitto that tests start, freeze, kill and restart, always on the same port."""

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.restartable import PATH, Restartable, guarded

HOST = "127.0.0.1"
BOUND_S = 10.0

MOSQUITTO = shutil.which("mosquitto", path=PATH)
needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None,
    reason="NOT TESTED: no mosquitto on this machine; apt-get install mosquitto",
)

_CONFIG = """\
listener {port} {host}
set_tcp_nodelay true
# Not 0 for "no limit": a denied publish then makes 2.0.11 end the connection.
max_queued_messages 100000
log_dest stderr
log_type all
connection_messages true
persistence false
{user}
{options}
"""


def free_port() -> int:
    """Return a port of this host that is not in use.

    It is below the range of outgoing connections: while a broker is down, no other program gets its
    port by chance, and no client connects to itself.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port


def password_file(folder: Path, users: Mapping[str, str]) -> Path:
    """Write mosquitto's password file for these users and passwords."""
    path = folder / "passwords"
    path.touch(mode=0o600)
    command = shutil.which("mosquitto_passwd", path=PATH)
    if command is None:
        pytest.skip("NOT TESTED: no mosquitto_passwd on this machine; apt-get install mosquitto")
    for user, password in users.items():
        subprocess.run([command, "-b", path, user, password], check=True, capture_output=True)
    return path


class Mosquitto(Restartable):
    """A broker without persistence; an async context manager that starts it.

    Attributes:
        port: where it listens; the same for every start.
        log: the lines that it has logged, over all starts.
    """

    def __init__(self, folder: Path, options: str = "allow_anonymous true") -> None:
        """Prepare.

        Args:
            folder: for its configuration.
            options: lines of its configuration, beyond listener and log.
        """
        self.port = free_port()
        self.log: list[str] = []
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            _CONFIG.format(
                port=self.port,
                host=HOST,
                # Started as root it would switch to a user that cannot read the folder.
                user="user root" if os.geteuid() == 0 else "",
                options=options,
            )
        )
        self._logged = asyncio.Condition()
        self._over = False
        self._reader: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """``host:port``, as in the settings."""
        return f"{HOST}:{self.port}"

    async def start(self) -> None:
        """Start it, and return when it accepts connections."""
        assert self._process is None, "it is running already"
        assert MOSQUITTO is not None, "mark the test with needs_mosquitto"
        known, self._over = len(self.log), False
        self._process = await asyncio.create_subprocess_exec(
            *guarded(MOSQUITTO, "-c", str(self._config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reader = asyncio.create_task(self._read_log(self._process))
        try:
            # Logged once the listeners are open.
            await self.logged(" running", since=known)
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Stop it as its service manager would."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """``kill -9``, frozen or not."""
        await self._end(signal.SIGKILL)

    async def reload(self) -> None:
        """Make it read its files again; return once it uses the new ones."""
        known = len(self.log)
        self._running.send_signal(signal.SIGHUP)
        await self.logged("Reloading config", since=known)

    def freeze(self) -> None:
        """Suspend it with its sockets open."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it."""
        self._running.send_signal(signal.SIGCONT)

    async def logged(self, text: str, *, since: int = 0) -> None:
        """Wait until a line after the first ``since`` ones contains ``text``."""

        def found() -> bool:
            return self._over or any(text in line for line in self.log[since:])

        try:
            async with asyncio.timeout(BOUND_S), self._logged:
                await self._logged.wait_for(found)
        except TimeoutError:
            pass
        assert any(text in line for line in self.log[since:]), (text, self.log[since:])

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._running, None
        with suppress(ProcessLookupError):
            process.send_signal(number)
        async with asyncio.timeout(BOUND_S):
            await process.wait()
            if self._reader is not None:
                await self._reader

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            async with self._logged:
                self.log.append(line.decode(errors="replace").rstrip())
                self._logged.notify_all()
        # Wake those that wait for a line: none will follow.
        async with self._logged:
            self._over = True
            self._logged.notify_all()


class StartMosquitto(Protocol):
    """The type of the fixture ``mosquitto``."""

    def __call__(self, options: str = ...) -> Awaitable[Mosquitto]: ...
