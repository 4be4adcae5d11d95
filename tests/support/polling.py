"""Waiting for what other programs do and cannot report."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

_POLL_S = 0.2
_ESTABLISHED = "01"


async def until(
    condition: Callable[[], Awaitable[bool]], at_most: float, poll_s: float = _POLL_S
) -> bool:
    """Ask again and again until the condition holds; return whether it does in time.

    Args:
        condition: the question.
        at_most: seconds to wait.
        poll_s: seconds between two questions.
    """
    loop = asyncio.get_running_loop()
    over = loop.time() + at_most
    while not (holds := await condition()) and loop.time() < over:  # noqa: ASYNC110 - no event
        await asyncio.sleep(poll_s)
    return holds


def connections_of(pid: int) -> list[int]:
    """Return the remote ports of a process's established IPv4 connections (see proc(5))."""
    folder, sockets = Path(f"/proc/{pid}"), set[str]()
    for file in (folder / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            sockets.add(os.readlink(file))  # noqa: PTH115 - not a path
    rows = [line.split() for line in (folder / "net/tcp").read_text().splitlines()[1:]]
    return [
        int(remote.rpartition(":")[2], 16)
        for _, _, remote, state, *_ in (row for row in rows if f"socket:[{row[9]}]" in sockets)
        if state == _ESTABLISHED
    ]
