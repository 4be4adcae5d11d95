"""The gateway's process: start it, send it commands, stop it and kill it."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from tests.support.restartable import guarded

BOUND_S = 20.0

LogLine = dict[str, Any]


class GatewayProcess:
    """``python -m tests.chaos.gateway``, or another module, one process after another.

    Attributes:
        log: The log lines of all processes.
        changed: Set with every new line.
        started_at: The number of log lines before the current process was started.
    """

    def __init__(
        self,
        arguments: list[str],
        environ: Mapping[str, str],
        module: str = "tests.chaos.gateway",
    ) -> None:
        """Prepare the command; ``environ`` is added to a minimal environment."""
        self._module = module
        self.log: list[LogLine] = []
        self.changed = asyncio.Event()
        self.arguments = arguments
        self.environ = dict(environ)
        self.started_at = 0
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def run(self) -> str | None:
        """The id of the current run; None if the process has not logged it yet."""
        started = self.find_line(self.started_at, "started")
        return started["run"] if started else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start a process, and return without waiting for it to get ready."""
        assert not self.is_running, "the gateway is already running"
        self.started_at = len(self.log)
        # The gateway stops at the end of its standard input, but a frozen one cannot notice that:
        # ``guarded`` ensures that it ends with this process.
        wanted = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
        inherited = {key: value for key, value in os.environ.items() if key in wanted}
        self._process = await asyncio.create_subprocess_exec(
            *guarded(sys.executable, "-m", self._module, *self.arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **self.environ},
            cwd=Path(__file__).parents[2],
        )
        self._reader = asyncio.create_task(
            self._read_log(self._process), name="read the gateway's log"
        )

    def send_command(self, command: str) -> None:
        """Send a command for a strap; see ``tests.chaos.gateway``."""
        assert self._running.stdin is not None
        self._running.stdin.write(f"{command}\n".encode())

    def signal(self, number: signal.Signals) -> None:
        self._running.send_signal(number)

    async def ended(self) -> int:
        """Wait until the process has ended and its log is read; return the exit code."""
        process = self._running
        async with asyncio.timeout(BOUND_S):
            code = await process.wait()
            assert self._reader is not None
            await self._reader
        assert not _exists(process.pid), "the process still exists"
        self._process = None
        return code

    async def kill(self, *, may_have_ended: bool = False) -> None:
        """Kill the process; fail if it had already ended, unless ``may_have_ended``."""
        with suppress(ProcessLookupError):
            self._running.kill()
        code = await self.ended()
        assert code == -signal.SIGKILL or may_have_ended, f"it had already ended with {code}"

    async def stop(self) -> None:
        """Stop the process with SIGTERM, and check its exit code."""
        self.signal(signal.SIGTERM)
        code = await self.ended()
        assert code == 0, (code, self.log[-10:])

    def refuse_writes(self) -> None:
        """Make every write to a file fail, as on a card that has become read-only."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0, hard))

    def allow_writes(self) -> None:
        """Let writes succeed again."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def find_line(self, since: int, event: str, **fields: object) -> LogLine | None:
        """Return the first log line from index ``since`` on with this event and these fields."""

        def matches(line: LogLine) -> bool:
            return line["event"] == event and fields.items() <= line.items()

        return next(filter(matches, self.log[since:]), None)

    async def logged(
        self, event: str, *, since: int = 0, at_most: float = BOUND_S, **fields: object
    ) -> LogLine:
        """Wait for a log line like that of ``find_line``."""
        try:
            async with asyncio.timeout(at_most):
                while (found := self.find_line(since, event, **fields)) is None:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError((event, fields, self.log[since:][-20:])) from None
        return found

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "the gateway is not running"
        return self._process

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            try:
                entry: LogLine = orjson.loads(line)
            except orjson.JSONDecodeError:
                entry = {"event": "NOT JSON", "line": line.decode(errors="replace")}
            self.log.append(entry)
            self.changed.set()


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
