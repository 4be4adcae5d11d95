"""What may hang without an end, given up after a while."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T], timeout_s: float) -> T:
    """What ``work`` returns, done in a thread of its own.

    A thread of the event loop's pool would be waited for at the end of the process, however long
    a name server is silent or a disk hangs; this one is left behind.

    Raises:
        TimeoutError: it took too long.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def give(done: Future[T]) -> None:
        if answer.done():
            return
        if (error := done.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(done.result())

    def run() -> None:
        done = Future[T]()
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)
        # The loop is closed where this comes too late for anybody.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(give, done)

    threading.Thread(target=run, daemon=True).start()
    async with asyncio.timeout(timeout_s):
        return await answer
