"""Run blocking work that may hang forever, with a timeout."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_NAME = "work in a thread"


def is_working() -> bool:
    """Return whether any work is under way. The time of a replay then waits."""
    return any(thread.name == _NAME for thread in threading.enumerate())


async def run_in_thread(work: Callable[[], T], timeout_s: float) -> T:
    """Run ``work`` in a thread of its own and return its result.

    At its end the process would wait for a thread of the event loop's pool, however long a name
    server is silent or a disk hangs. It does not wait for this thread.

    Raises:
        TimeoutError: it took too long.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def set_answer(done: Future[T]) -> None:
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
        # After the timeout the loop may already be closed.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(set_answer, done)

    threading.Thread(target=run, name=_NAME, daemon=True).start()
    async with asyncio.timeout(timeout_s):
        return await answer
