"""A deadline counts only after the event loop has taken what had arrived."""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from healthd.supervision import deadline

BOUND_S = 30.0

Limit = Callable[[float], AbstractAsyncContextManager[object]]


def stall(seconds: float) -> None:
    """Block the event loop, as a disk that does not answer."""
    time.sleep(seconds)


async def answered(limit: Limit, seconds: float) -> bytes:
    """Stall longer than ``seconds`` while an answer waits; return the answer."""
    reading, writing = os.pipe()
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb", buffering=0)
    )

    def fault() -> None:
        os.write(writing, b"answer")
        stall(seconds + 0.3)

    loop.call_soon(fault)
    try:
        async with limit(seconds):
            return await stream.read(100)
    finally:
        transport.close()
        os.close(writing)


async def test_an_answer_that_came_during_a_stall_is_taken() -> None:
    with pytest.raises(TimeoutError):
        await answered(asyncio.timeout, 0.3)
    assert await answered(deadline.timeout, 0.3) == b"answer"


@pytest.mark.parametrize("stalled_s", [0.0, 0.4])
async def test_without_an_answer_it_ends_the_block(stalled_s: float) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with deadline.timeout(0.2):
            asyncio.get_running_loop().call_soon(stall, stalled_s)
            await asyncio.Event().wait()
    assert 0.2 <= time.monotonic() - started < BOUND_S


async def test_it_is_not_later_than_asked_for_if_nothing_stalls() -> None:
    loop = asyncio.get_running_loop()
    when = loop.time() + 2 * deadline.SETTLE_S
    with pytest.raises(TimeoutError):
        async with deadline.timeout_at(when):
            await asyncio.Event().wait()
    late_s = loop.time() - when
    # Less than what a stall adds, except on a machine that is so busy that it stalls itself.
    assert 0 <= late_s < BOUND_S


async def test_a_deadline_in_the_past_leaves_time_to_take_what_has_arrived() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(TimeoutError):
        async with deadline.timeout_at(started - 60.0):
            await asyncio.Event().wait()
    assert deadline.SETTLE_S <= loop.time() - started < BOUND_S


async def test_a_machine_on_which_every_timer_is_late_still_ends_the_block() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()

    def busy() -> None:
        stall(0.15)
        nonlocal timer
        timer = loop.call_soon(busy)

    timer = loop.call_soon(busy)
    with pytest.raises(TimeoutError):
        async with deadline.timeout(0.02):
            await asyncio.Event().wait()
    timer.cancel()
    assert loop.time() - started > 0.5  # it was extended, but not forever


async def test_a_pause_ends_after_what_had_arrived_was_taken() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await deadline.sleep(0.2)
    assert 0.2 <= loop.time() - started < BOUND_S


async def test_without_a_limit_it_waits() -> None:
    async with deadline.timeout_at(None):
        await asyncio.sleep(0.01)


async def test_a_cancellation_is_no_timeout() -> None:
    async def wait() -> None:
        async with deadline.timeout(60.0):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
