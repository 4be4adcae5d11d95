"""Waiting for what other programs do and cannot report."""

import asyncio
from collections.abc import Awaitable, Callable

_POLL_S = 0.2


async def until(condition: Callable[[], Awaitable[bool]], at_most: float) -> bool:
    """Ask again and again until the condition holds; return whether it does in time.

    Args:
        condition: the question.
        at_most: seconds to wait.
    """
    loop = asyncio.get_running_loop()
    over = loop.time() + at_most
    while not (holds := await condition()) and loop.time() < over:  # noqa: ASYNC110 - no event
        await asyncio.sleep(_POLL_S)
    return holds
