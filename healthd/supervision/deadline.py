"""Deadlines for what peers send, judged only after everything that had arrived was taken.

A process that stood still (a suspended machine, a slow disk) wakes up with all timers due, before
the event loop has read what its peers sent in the meantime. ``asyncio.timeout`` would then end
healthy links.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

# The event loop must have run this long without a stall before a deadline counts. What waits in
# sockets and in D-Bus is read in a fraction of it.
SETTLE_S = 0.5

# A timer that fires this late has seen a stall. On a busy machine they are some milliseconds late.
_LATE_S = 0.1

# A machine on which every timer is late must not extend a deadline forever.
_EXTENSIONS = 10


@asynccontextmanager
async def timeout(seconds: float) -> AsyncGenerator[None]:
    """Limit the time of the block, like ``asyncio.timeout``; see the module."""
    now = asyncio.get_running_loop().time()
    async with timeout_at(now + seconds, min(SETTLE_S, seconds)):
        yield


@asynccontextmanager
async def timeout_at(when: float | None, settle_s: float = SETTLE_S) -> AsyncGenerator[None]:
    """End the block at a time of the event loop, like ``asyncio.timeout_at``; see the module.

    Args:
        when: the deadline, on the monotonic clock; it may have passed already. None: no limit.
        settle_s: how long the event loop must have run without a stall.
    """
    async with asyncio.timeout(None) as limit:
        if when is None:
            yield
            return
        deadline = _Deadline(limit, when, settle_s)
        try:
            yield
        finally:
            deadline.cancel()


async def sleep(seconds: float) -> None:
    """Wait, like ``asyncio.sleep``; see the module."""
    with suppress(TimeoutError):
        async with timeout(seconds):
            await asyncio.get_running_loop().create_future()


class _Deadline:
    """Ends the block of ``limit`` once the deadline has passed and the event loop has settled."""

    def __init__(self, limit: asyncio.Timeout, when: float, settle_s: float) -> None:
        self._limit = limit
        self._when = when
        self._settle_s = settle_s
        self._loop = asyncio.get_running_loop()
        self._extensions = 0
        early = max(when - settle_s, self._loop.time())
        self._timer = self._loop.call_at(early, self._settle)

    def cancel(self) -> None:
        self._timer.cancel()

    def _settle(self) -> None:
        self._when = max(self._when, self._loop.time() + self._settle_s)
        self._timer = self._loop.call_at(self._when, self._end)

    def _end(self) -> None:
        now = self._loop.time()
        if now - self._when > _LATE_S and self._extensions < _EXTENSIONS:
            self._extensions += 1
            self._settle()
        else:
            self._limit.reschedule(now)
