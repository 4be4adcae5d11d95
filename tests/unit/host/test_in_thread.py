"""Blocking work in a thread: results, errors and the timeout."""

import asyncio
import threading

import pytest

from healthd.host.in_thread import run_in_thread


async def test_results_are_returned_and_errors_raised() -> None:
    assert await run_in_thread(lambda: 7, 10.0) == 7

    def fail() -> int:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await run_in_thread(fail, 10.0)


def test_hanging_work_is_not_waited_for() -> None:
    released, ended = threading.Event(), threading.Event()

    def hang() -> None:
        released.wait()
        ended.set()

    with pytest.raises(TimeoutError):
        asyncio.run(run_in_thread(hang, 0.01))
    # The work goes on only after the loop is closed, and does no harm then.
    assert not ended.is_set()
    released.set()
    assert ended.wait(timeout=20)
