"""Processes that are forked from one that has imported healthd already.

The imports are most of the CPU time of a short run. Each process still has its own environment,
arguments, standard streams, signals and exit code. tests/unit/cli/test_run.py, tests/system and
tests/chaos start healthd without a fork.

As a program, this module takes the script of the imports, and serves on the socket that is its
standard input.
"""

import asyncio
import atexit
import gc
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

_ROOT = Path(__file__).parents[2]

# For one order with all of its environment.
_LONGEST_ORDER = 200_000


class ForkedProcess:
    """What tests need of ``asyncio.subprocess.Process``.

    Attributes:
        pid: its process id.
        returncode: its exit code, or the negative number of a signal; None while it runs.
        stdout: what it writes to standard output.
        stderr: what it writes to standard error.
    """

    def __init__(
        self, pid: int, status: asyncio.StreamReader, *output: asyncio.StreamReader
    ) -> None:
        """Watch the process; ``status`` will have its exit code."""
        self.pid = pid
        self.returncode: int | None = None
        self.stdout, self.stderr = output
        self._end = asyncio.create_task(self._wait(status))

    async def wait(self) -> int:
        """Wait for its end; return the exit code."""
        return await asyncio.shield(self._end)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """``kill -9``."""
        self.send_signal(signal.SIGKILL)

    async def _wait(self, status: asyncio.StreamReader) -> int:
        # Until its end: a pipe of which only a line is read stays open.
        self.returncode = int(await status.read())
        return self.returncode

    async def communicate(self, bound_s: float) -> tuple[int, bytes, bytes]:
        """Wait for its end; return exit code, standard output and standard error."""
        try:
            async with asyncio.timeout(bound_s):
                out, err = await asyncio.gather(self.stdout.read(), self.stderr.read())
                return await self.wait(), out, err
        finally:
            self.kill()


class Forking:
    """The process that forks; the first fork starts it, and the end of the tests ends it."""

    def __init__(self, imports: str) -> None:
        """Prepare; ``imports`` is a script that runs once, before all forks."""
        self._imports = imports
        self._socket: socket.socket | None = None

    async def start(
        self,
        script: str,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        typed: bytes = b"",
    ) -> ForkedProcess:
        """Start ``python -c script arguments`` in the folder of the repository.

        Args:
            script: its source.
            arguments: ``sys.argv[1:]``.
            environ: all of its environment.
            typed: its standard input; less than a pipe holds.
        """
        if self._socket is None:
            self._socket = self._serve()
        order = {"script": script, "arguments": arguments, "environ": dict(environ)}
        pipes = [os.pipe() for _ in range(3)]  # output, errors, and its pid and exit code
        stdin, keyboard = os.pipe()
        os.write(keyboard, typed)
        os.close(keyboard)
        theirs = [stdin, *(write for _, write in pipes)]
        socket.send_fds(self._socket, [orjson.dumps(order)], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        out, err, status = [await _reader(read) for read, _ in pipes]
        return ForkedProcess(int(await status.readline()), status, out, err)

    def _serve(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = (sys.executable, "-m", "tests.support.forking", self._imports)
        with theirs:
            server = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, cwd=_ROOT
            )
        # In reverse order: it ends when its socket does.
        atexit.register(server.wait)
        atexit.register(ours.close)
        return ours


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    return reader


def main() -> None:
    """Fork a process for each order, and say when it ends, until the socket ends."""
    exec(sys.argv[1], {})
    # Otherwise each process would visit all that was imported when it ends, and copy its memory.
    gc.freeze()
    # Control-C is for the processes under test.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=0) as orders, selectors.DefaultSelector() as ready:
        forked = _serve(orders, ready)
    if forked is not None:
        _run(*forked)


def _serve(
    orders: socket.socket, ready: selectors.BaseSelector
) -> tuple[dict[str, Any], list[int]] | None:
    """Serve until the socket ends; in a forked process, return its order and standard streams."""
    ready.register(orders, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.data is not None:
                ready.unregister(key.fd)
                _report_end(key.fd, *key.data)
                continue
            order, descriptors, _, _ = socket.recv_fds(orders, _LONGEST_ORDER, 4)
            if not order:
                return None
            *streams, status = descriptors
            if (child := os.fork()) == 0:
                return orjson.loads(order), streams
            for stream in streams:
                os.close(stream)
            os.write(status, b"%d\n" % child)
            ready.register(os.pidfd_open(child), selectors.EVENT_READ, (child, status))


def _report_end(descriptor: int, child: int, status: int) -> None:
    """Write the exit code of a child that has ended."""
    os.close(descriptor)
    _, ended = os.waitpid(child, 0)
    os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
    os.close(status)


def _run(order: dict[str, Any], streams: Sequence[int]) -> None:
    """Run the script in this process, as if Python had just started."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    sys.argv = ["-c", *order["arguments"]]
    exec(order["script"], {"__name__": "__main__"})


if __name__ == "__main__":
    main()
