"""The file descriptors of this process: a leak ends the process before it runs out of them."""

import asyncio
from pathlib import Path

from healthd.errors import HealthdError

# A gateway with eight links has about 30 open. In long runs of other programs, D-Bus sockets leaked
# up to the limit of 256 (core#179152, bleak#1698); then nothing can be opened, not even the store.
LIMIT = 128

_PERIOD_S = 10.0

_OPEN = Path("/proc/self/fd")


class Leak(HealthdError):
    """More open files than any gateway needs; only a new process releases them."""


def count() -> int:
    """Return how many file descriptors this process has open."""
    # Minus the one that lists them.
    return sum(1 for _ in _OPEN.iterdir()) - 1


async def watch() -> None:
    """Check the number of open files forever.

    Raises:
        Leak: there are ``LIMIT`` or more.
    """
    while True:
        if (number := count()) >= LIMIT:
            raise Leak(
                f"{number} open files, expected fewer than {LIMIT}: restarting to close them"
            )
        await asyncio.sleep(_PERIOD_S)
