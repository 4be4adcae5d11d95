"""A program on its own terminal, and what a user would see there."""

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

from tests.support.process import clean_environment

BOUND_S = 20.0

_ROOT = Path(__file__).parents[2]


class Terminal:
    """A process on its own terminal.

    Attributes:
        process: the process.
        screen: everything that was written to the terminal.
    """

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        """Read what is written to the terminal; ``master`` is its other side."""
        self.process = process
        self.screen = ""
        self._master = master
        self._changed = asyncio.Event()
        self._over = False
        asyncio.get_running_loop().add_reader(master, self._read)

    async def shows(self, *texts: str, since: int = 0) -> None:
        """Wait until all of these are on the screen, after its first ``since`` characters."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BOUND_S):
                while not self._over and not self._has(texts, since):
                    self._changed.clear()
                    await self._changed.wait()
        assert self._has(texts, since), (texts, self.screen[since:][-3000:])

    def type(self, text: str) -> None:
        """Type this text."""
        os.write(self._master, text.encode())

    def close(self) -> None:
        """Close the terminal."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)

    def _has(self, texts: tuple[str, ...], since: int) -> bool:
        return all(text in self.screen[since:] for text in texts)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the last process has closed its side
            data = b""
        if not data:
            self._over = True
            asyncio.get_running_loop().remove_reader(self._master)
        self.screen += data.decode("utf-8", "replace")
        self._changed.set()


@asynccontextmanager
async def running(
    *command: str, environ: Mapping[str, str] | None = None, columns: int = 120
) -> AsyncGenerator[Terminal]:
    """Run a command on a terminal with 40 lines; it is killed at the end of the block."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**clean_environment(), "TERM": "xterm-256color", **(environ or {})},
        cwd=_ROOT,
    )
    os.close(slave)
    terminal = Terminal(process, master)
    try:
        yield terminal
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        terminal.close()


def on_a_terminal(*arguments: str, columns: int = 120) -> AbstractAsyncContextManager[Terminal]:
    """Run ``healthd`` with these arguments; see ``running``."""
    return running(sys.executable, "-m", "healthd", *arguments, columns=columns)
