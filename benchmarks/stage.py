"""The setup of a measurement: a real mosquitto, a subscriber, and processes that publish."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import orjson

from benchmarks.orders import Answer
from benchmarks.trees import WORKING, Tree
from tests.support.mosquitto import Mosquitto
from tests.support.process import clean_environment
from tests.support.restartable import guarded

# Otherwise every packet is logged, and the broker would dominate the measurement.
# By default it drops what exceeds 1,000 messages for a subscriber that falls behind.
_BROKER = """\
allow_anonymous true
log_type none
log_type information
max_queued_messages 0
"""

# For a burst of a long run, at the required rate, with a margin for a busy machine.
_ANSWER_S = 600.0

# The answer to a long burst contains a latency for each sample.
_LINE_BYTES = 1 << 28


class Measured:
    """A process of this package that carries out orders; a context manager that runs it."""

    def __init__(
        self,
        program: str,
        *options: object,
        environ: Mapping[str, str] | None = None,
        tree: Tree = WORKING,
    ) -> None:
        """Prepare ``python -m benchmarks.<program>`` of a tree with these options."""
        self._command = [tree.python, "-m", f"benchmarks.{program}", *map(str, options)]
        self._folder = tree.root
        self._environ = {**clean_environment(), **(environ or {})}
        self._process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Start it, and wait until it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            *guarded(*self._command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environ,
            cwd=self._folder,
            limit=_LINE_BYTES,
        )
        await self._answer()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close its standard input, and wait until it ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(30):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def order(self, do: str, **how: Any) -> Answer:
        """Send an order and wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps({"do": do, **how}) + b"\n")
        return await self._answer()

    async def _answer(self) -> Answer:
        assert self._process.stdout is not None
        async with asyncio.timeout(_ANSWER_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._command[2]} ended with {await self._process.wait()}")
        answer: Answer = orjson.loads(line)
        return answer


class Stage:
    """Broker, subscriber and measured processes; an asynchronous context manager that runs them.

    A measured process has the first CPU to itself, all other processes share the rest: so "one
    core" is one core, and nothing that is measured waits for other processes.

    Attributes:
        broker: a real mosquitto.
        tap: the subscriber, see ``tap``.
        folder: a scratch folder, on a disk.
    """

    def __init__(self, *, tap: bool = True, bound: bool = True, broker: str = "") -> None:
        """Prepare.

        Args:
            tap: with the subscriber, which ends if the broker restarts.
            bound: keep the first CPU for the measured process.
            broker: more lines of the broker's configuration.
        """
        self._is_bound = bound
        self._has_tap, self._options = tap, f"{_BROKER}\n{broker}"
        self._stack = AsyncExitStack()
        self._products = 0
        self._cpus = sorted(os.sched_getaffinity(0))
        self.broker: Mosquitto
        self.tap: Measured
        self.folder: Path

    async def __aenter__(self) -> Self:
        """Start them."""
        stack = self._stack
        self.folder = Path(stack.enter_context(TemporaryDirectory(prefix="healthd-bench-")))
        if self._is_bound and len(self._cpus) > 1:
            os.sched_setaffinity(0, self._cpus[1:])
            stack.callback(os.sched_setaffinity, 0, self._cpus)
        try:
            self.broker = await stack.enter_async_context(Mosquitto(self.folder, self._options))
            if self._has_tap:
                self.tap = await stack.enter_async_context(
                    Measured("tap", "--port", self.broker.port)
                )
        except BaseException:
            await stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End everything, in the reverse order."""
        await self._stack.aclose()

    async def product(
        self, peripherals: int, *options: str, max_size: str = "4MB", tree: Tree = WORKING
    ) -> Measured:
        """Start a tree's daemon with this number of straps; return when all of them stream."""
        self._products += 1
        folder = self.folder / f"outbox-{self._products}"
        where = ("--folder", folder, "--max-size", max_size)
        # In memory, like systemd's RuntimeDirectory.
        runtime = TemporaryDirectory(prefix="healthd-bench-", dir="/dev/shm")
        environ = {"RUNTIME_DIRECTORY": self._stack.enter_context(runtime)}
        return await self._start(
            "product", peripherals, *where, *options, environ=environ, tree=tree
        )

    async def floor(self, peripherals: int, *options: str) -> Measured:
        """Start bare paho, which publishes to the topics of this number of straps."""
        return await self._start("floor", peripherals, *options)

    async def plain(self, peripherals: int) -> Measured:
        """Start plain aiomqtt, which publishes for this number of straps."""
        return await self._start("plain", peripherals)

    async def _start(
        self,
        program: str,
        peripherals: int,
        *options: object,
        environ: Mapping[str, str] | None = None,
        tree: Tree = WORKING,
    ) -> Measured:
        where = ("--port", self.broker.port, "--cpu", self._cpus[0])
        measured = Measured(
            program, *where, "--peripherals", peripherals, *options, environ=environ, tree=tree
        )
        return await self._stack.enter_async_context(measured)
