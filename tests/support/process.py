"""healthd as a separate process, and its log."""

import asyncio
import os
import re
import signal
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

import orjson

from tests.support.forking import Forking

BOUND_S = 20.0

# For a command, on a busy machine.
_CALL_S = 50.0

# Every log line is checked: at info it must not contain addresses or health values.
_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}[:_-]){5}[0-9A-Fa-f]{2}")
_HEALTH = ("bpm", "rr_intervals", "energy_expended", "level_pct", "sensor_contact")

# ``python -m healthd``, once everything has been imported.
_MODULE = "import runpy; runpy.run_module('healthd', run_name='__main__', alter_sys=True)"
HEALTHD = Forking("""
import healthd.cli.backfill, healthd.cli.demo, healthd.cli.doctor, healthd.cli.scan
import healthd.doctor.machine
from healthd.profiles import registry
registry.load()
""")

LogLine = dict[str, Any]


class Process(Protocol):
    """A running process, forked or not."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    @property
    def stdout(self) -> asyncio.StreamReader | None: ...
    @property
    def stderr(self) -> asyncio.StreamReader | None: ...
    def kill(self) -> None: ...
    def send_signal(self, signal: int, /) -> None: ...
    async def wait(self) -> int: ...


class Healthd:
    """``python -m healthd …``; an async context manager that leaves no process behind.

    Standard error must be JSON lines without addresses and health values.

    Attributes:
        log: the lines of standard error.
        out: the lines of standard output.
    """

    def __init__(self, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        """Prepare; ``environ`` is added to a clean environment."""
        self.log: list[LogLine] = []
        self.out: list[str] = []
        self._arguments = arguments
        self._environ = {**clean_environment(), **(environ or {})}
        self._changed = asyncio.Condition()
        self._readers: list[asyncio.Task[None]] = []
        self._open = 2
        self._process: Process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it is running."""
        return self._process.returncode is None

    async def __aenter__(self) -> Self:
        """Start it."""
        self._process = await self._start()
        out, errors = self._process.stdout, self._process.stderr
        assert out is not None
        assert errors is not None
        self._readers = [
            asyncio.create_task(self._read(out, self._on_out), name="stdout"),
            asyncio.create_task(self._read(errors, self._on_log), name="stderr"),
        ]
        return self

    async def _start(self) -> Process:
        return await HEALTHD.start(_MODULE, self._arguments, self._environ)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill it if it still runs."""
        if self.is_running:
            self._process.kill()
        await self.ended()

    def send_kill(self) -> None:
        """Kill it with SIGKILL."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until it has ended and its output is read; return the exit code."""
        async with asyncio.timeout(BOUND_S):
            code = await self._process.wait()
            await asyncio.gather(*self._readers)
        return code

    async def stopped(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it, and return the exit code."""
        self.send(number)
        return await self.ended()

    async def logged(self, event: str, **fields: object) -> LogLine:
        """Wait for a log line with this event and at least these fields."""

        def fits(line: LogLine) -> bool:
            return line["event"] == event and fields.items() <= line.items()

        return await self._until(lambda: next(filter(fits, self.log), None), (event, fields))

    async def wrote(self, text: str) -> str:
        """Wait for a line on standard output that contains ``text``."""

        def find() -> str | None:
            return next((line for line in self.out if text in line), None)

        return await self._until(find, text)

    async def _until(self, find: Callable[[], Any], what: object) -> Any:
        def over() -> bool:
            return find() is not None or not self._open

        try:
            async with asyncio.timeout(BOUND_S), self._changed:
                await self._changed.wait_for(over)
        except TimeoutError:
            pass
        found = find()
        assert found is not None, (what, self.log, self.out[-30:])
        return found

    async def _read(self, stream: asyncio.StreamReader, keep: Callable[[str], None]) -> None:
        async for line in stream:
            async with self._changed:
                keep(line.decode().rstrip("\n"))
                self._changed.notify_all()
        async with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _on_out(self, line: str) -> None:
        self.out.append(line)

    def _on_log(self, line: str) -> None:
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            entry = {"event": "NOT JSON", "line": line}
        self.log.append(entry)


async def call(
    *arguments: str, environ: Mapping[str, str], typed: str = ""
) -> tuple[int, str, str]:
    """Run a command of healthd to its end.

    Args:
        arguments: of the command line.
        environ: laid over a minimal environment.
        typed: its standard input.

    Returns:
        The exit code, standard output and standard error.
    """
    process = await HEALTHD.start(
        _MODULE, arguments, {**clean_environment(), **environ}, typed.encode()
    )
    code, out, err = await process.communicate(_CALL_S)
    return code, out.decode(), err.decode()


def complaints(log: list[LogLine]) -> list[LogLine]:
    """Return the lines that healthd must not log at info."""
    return [
        line
        for line in log
        if line["event"] in ("NOT JSON", "crashed", "failed")
        or not {"timestamp", "level", "event"} <= line.keys()
        or _ADDRESS.search(text := str(line))
        or any(word in text for word in _HEALTH)
    ]


def clean_environment() -> dict[str, str]:
    """Return this process's environment without variables that affect healthd or the terminal."""
    unwanted = ("HEALTHD_", "XDG_", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")
    terminal = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_")
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(unwanted) and not key.startswith(terminal)
    }
