"""The gateway's process as the harness holds it: started, told, stopped and killed."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from tests.support.restartable import guarded

BOUND_S = 20.0

LogLine = dict[str, Any]


class GatewayProcess:
    """``python -m tests.chaos.gateway``, one process after the other.

    Attributes:
        log: the lines of standard error of all of them.
        changed: set with every line.
        started_at: how many lines there were before the current one was started.
    """

    def __init__(self, arguments: list[str], environ: Mapping[str, str]) -> None:
        """Prepare; ``environ`` is laid over a minimal environment."""
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
        """The id of the current run, once it has begun."""
        started = self.seen(self.started_at, "started")
        return started["run"] if started else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start one; returns before it has done anything."""
        assert not self.is_running, "it runs already"
        self.started_at = len(self.log)
        # Standard input ends with this process, but not where it is stopped: hence the guard.
        wanted = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
        inherited = {key: value for key, value in os.environ.items() if key in wanted}
        self._process = await asyncio.create_subprocess_exec(
            *guarded(sys.executable, "-m", "tests.chaos.gateway", *self.arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **self.environ},
            cwd=Path(__file__).parents[2],
        )
        self._reader = asyncio.create_task(self._read_log(self._process))

    def tell(self, order: str) -> None:
        """An order to a strap; see ``tests.chaos.gateway``."""
        assert self._running.stdin is not None
        self._running.stdin.write(f"{order}\n".encode())

    def signal(self, number: signal.Signals) -> None:
        self._running.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; the exit code. Its whole log is read by then."""
        process = self._running
        async with asyncio.timeout(BOUND_S):
            code = await process.wait()
            assert self._reader is not None
            await self._reader
        assert not _exists(process.pid), "it is still there"
        self._process = None
        return code

    async def kill(self, *, by_us_alone: bool = True) -> None:
        """End it at once, whatever it does."""
        with suppress(ProcessLookupError):
            self._running.kill()
        code = await self.ended()
        assert code == -signal.SIGKILL or not by_us_alone, f"it had ended before, with {code}"

    async def stop(self) -> None:
        """Ask it to stop, and have it end cleanly."""
        self.signal(signal.SIGTERM)
        code = await self.ended()
        assert code == 0, (code, self.log[-10:])

    def refuse_writes(self) -> None:
        """Every write to a file fails from now on, as on a card that has gone read-only."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0, hard))

    def allow_writes(self) -> None:
        """Writes work again."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def seen(self, since: int, event: str, **fields: object) -> LogLine | None:
        """A line behind the first ``since`` with this event and these fields."""

        def fits(line: LogLine) -> bool:
            return line["event"] == event and fields.items() <= line.items()

        return next(filter(fits, self.log[since:]), None)

    async def logged(
        self, event: str, *, since: int = 0, at_most: float = BOUND_S, **fields: object
    ) -> LogLine:
        """Wait for such a line."""
        await self._until(
            lambda: self.seen(since, event, **fields) is not None, at_most, (event, fields, since)
        )
        found = self.seen(since, event, **fields)
        assert found is not None
        return found

    async def _until(self, look: Callable[[], bool], at_most: float, what: object) -> None:
        try:
            async with asyncio.timeout(at_most):
                while not look():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError((what, self.log[-20:])) from None

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "it does not run"
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
