"""Work in bounded time, even if it ignores its first cancellation."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from healthd.supervision.deadline import timeout

# When bleak's connect is cancelled it asks BlueZ to disconnect, and waits for the answer without a
# bound. A second cancellation, this much later, ends that as well.
_AGAIN_S = 2.0
_TIMES = 3

_T = TypeVar("_T")


async def run_within(work: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
    """Return the result of ``work``; cancel it at the timeout, several times if necessary.

    Raises:
        TimeoutError: it took too long. It may still run, if it ignores every cancellation.
    """
    task = asyncio.create_task(work, name="bounded work")
    try:
        with suppress(TimeoutError):
            async with timeout(timeout_s):
                await asyncio.wait({task})
        if task.done():
            return task.result()
    finally:
        for _ in range(_TIMES):
            if task.done():
                break
            task.cancel()
            await asyncio.wait({task}, timeout=_AGAIN_S)
        if task.done() and not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it as never retrieved
    raise TimeoutError
