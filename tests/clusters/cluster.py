"""Three nodes of a broker on loopback, each a process that can be killed and started again."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.clusters.trees import tree
from tests.support.mosquitto import HOST, free_port
from tests.support.polling import until
from tests.support.restartable import PATH, Restartable
from tests.support.trees import inside

# A RabbitMQ node needs 10 s; three of them start on two processors that do other things as well.
_START_S = 120.0

NODES = 3


class Node(Restartable):
    """One node.

    Attributes:
        port: where it speaks MQTT; the same for every start.
    """

    def __init__(
        self, suite: str, folder: Path, name: str, command: list[str], environ: Mapping[str, str]
    ) -> None:
        """Prepare.

        Args:
            suite: the Debian release that it comes from.
            folder: shared by the cluster; its output is in ``NAME.log`` there.
            name: of the node.
            command: its program and arguments.
            environ: variables for the program.
        """
        self.port = free_port()
        self._command = inside(tree(suite), folder, *command)
        self._environ = {"PATH": PATH, "LC_ALL": "C.UTF-8", **environ}
        self._log = folder / f"{name}.log"

    async def start(self) -> None:
        """Start it; return when it accepts connections."""
        with self._log.open("ab") as log:
            self._process = await _started(self._command, self._environ, log)

        async def is_up() -> bool:
            assert self._running.returncode is None, (self._command, self.last_words())
            return await is_open(self.port)

        assert await until(is_up, _START_S), (self._command, self.last_words())

    async def kill(self) -> None:
        """``kill -9`` for the node and its children."""
        process, self._process = self._running, None
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        # Its children die right after it.
        assert await until(self._is_down, _START_S)

    async def _is_down(self) -> bool:
        return not await is_open(self.port)

    def last_words(self) -> str:
        """Return the end of its output."""
        return self._log.read_text(errors="replace")[-2000:]


class Cluster:
    """Three nodes; an async context manager that starts and in the end kills them.

    Attributes:
        title: name and version, for people.
        version: the newest version of MQTT that it speaks.
        nodes: all of them.
    """

    title: str
    version = "3.1.1"
    # Whether a node can be started only when the one before it is up.
    one_by_one = False

    def __init__(self) -> None:
        """Prepare; subclasses make the nodes."""
        self.nodes: list[Node] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all nodes; return when they are one cluster."""
        async with AsyncExitStack() as stack:
            await self.prepare(stack)
            if self.one_by_one:
                for node in self.nodes:
                    await stack.enter_async_context(node)
            else:
                starting = [stack.enter_async_context(node) for node in self.nodes]
                await asyncio.gather(*starting)
            await self.settled()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill all nodes."""
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def prepare(self, stack: AsyncExitStack) -> None:
        """Start what the nodes need."""

    async def settled(self) -> None:
        """Wait until all nodes that run are one cluster, and well."""
        raise NotImplementedError


async def is_open(port: int) -> bool:
    """Return whether something accepts connections at a port."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def output_of(command: list[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """Run a command to its end; return its exit code and everything that it wrote."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": PATH, "LC_ALL": "C.UTF-8", **environ},
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace")


async def _started(
    command: list[str], environ: Mapping[str, str], log: IO[bytes]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environ),
    )
