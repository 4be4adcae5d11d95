"""This process's file descriptors: a leak ends the process before it ends its work."""

import asyncio
from pathlib import Path

from healthd.errors import HealthdError

# A gateway with eight links has about 30 open. D-Bus sockets have leaked to the limit of 256 in
# long runs of others (core#179152, bleak#1698), and then nothing can be opened, not even a store.
LIMIT = 128

_PERIOD_S = 10.0

_OPEN = Path("/proc/self/fd")


class Leak(HealthdError):
    """More open files than any gateway needs; only a new process gives them back."""


def count() -> int:
    """How many file descriptors this process has open."""
    # The one that lists them is listed too.
    return sum(1 for _ in _OPEN.iterdir()) - 1


async def watch() -> None:
    """Never returns.

    Raises:
        Leak: there are ``LIMIT`` or more.
    """
    while True:
        if (number := count()) >= LIMIT:
            raise Leak(f"{number} open files, {LIMIT} at most: started anew to give them back")
        await asyncio.sleep(_PERIOD_S)
