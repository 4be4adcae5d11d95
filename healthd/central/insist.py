"""Cancelling what does not obey the first time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

# When bleak's connect is cancelled it asks BlueZ to disconnect, and waits for the answer without a
# bound. A second cancellation ends that too, this much later.
_AGAIN_S = 2.0
_TIMES = 3

_T = TypeVar("_T")


async def insist(work: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
    """The work's result, in bounded time: it is cancelled again where once is not enough.

    Raises:
        TimeoutError: it took too long; it may even go on, where it cannot be cancelled at all.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if task.done():
            return task.result()
    finally:
        for _ in range(_TIMES):
            if task.done():
                break
            task.cancel()
            await asyncio.wait({task}, timeout=_AGAIN_S)
        if task.done() and not task.cancelled():
            task.exception()  # seen, so that asyncio does not complain about it
    raise TimeoutError
