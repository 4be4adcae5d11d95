"""Time that runs faster, and time that is virtual."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from healthd.capture.replay import timing
from healthd.capture.replay.timing import FastClock, ReplayLoop, VirtualClock

WALL_NS = 1_700_000_000_123_456_000
_real = time.monotonic


def run(body: Callable[[ReplayLoop], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=ReplayLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, ReplayLoop)
        runner.run(body(loop))


def never() -> None:
    raise AssertionError("it waits for something real")


def idle() -> bool:
    return False


def test_virtual_hours_take_no_time() -> None:
    async def body(loop: ReplayLoop) -> None:
        began = _real()
        with loop.shows(VirtualClock(WALL_NS, never), idle):
            assert time.time_ns() == WALL_NS
            first = time.monotonic()
            await asyncio.sleep(7200.25)
            assert round(time.monotonic() - first, 6) == 7200.25
            assert time.time_ns() == WALL_NS + 7_200_250_000_000
        assert _real() - began < 60
        assert abs(time.monotonic() - _real()) < 60

    run(body)


def test_virtual_time_waits_for_what_is_real() -> None:
    """A broker's answer, for example: here it takes ten looks."""
    looks = iter(range(10))

    async def body(loop: ReplayLoop) -> None:
        with loop.shows(VirtualClock(WALL_NS, never), lambda: next(looks, None) is not None):
            await asyncio.sleep(60)
            assert next(looks, None) is None

    run(body)


def test_virtual_time_does_not_wait_forever(monkeypatch: Any) -> None:
    monkeypatch.setattr(timing, "ANSWER_S", 0.3)
    silences: list[float] = []

    async def body(loop: ReplayLoop) -> None:
        clock = VirtualClock(WALL_NS, lambda: silences.append(time.monotonic()))
        with loop.shows(clock, lambda: True):
            await asyncio.sleep(60)
            await asyncio.sleep(60)

    run(body)
    assert len(silences) == 1


def test_threads_have_no_order_of_their_own_in_virtual_time() -> None:
    async def body(loop: ReplayLoop) -> None:
        with loop.shows(VirtualClock(WALL_NS, never), idle):
            before = time.monotonic()
            assert await asyncio.to_thread(time.monotonic) == before
            job = loop.run_in_executor(None, int, "x")
            assert isinstance(job.exception(), ValueError)

    run(body)


def test_time_runs_faster() -> None:
    async def body(loop: ReplayLoop) -> None:
        began = _real()
        with loop.shows(FastClock(60), idle):
            first, wall = time.monotonic(), time.time()
            await asyncio.sleep(30)
            assert time.monotonic() - first >= 30
            assert time.time() - wall >= 30
        assert 0.5 <= _real() - began < 15

    run(body)


def test_fast_time_is_real_while_something_real_is_awaited() -> None:
    async def body(loop: ReplayLoop) -> None:
        with loop.shows(FastClock(1000), lambda: True):
            await asyncio.sleep(0)
            began, real = time.monotonic(), _real()
            await asyncio.sleep(0.2)
            # In fast time, these 0.2 s would be over after 0.2 ms.
            assert _real() - real >= 0.19
            assert time.monotonic() - began < 100

    run(body)


def test_what_waits_for_a_timer_is_not_waited_for(monkeypatch: Any) -> None:
    """An answer that comes only after a timer has passed: time goes on after a moment."""
    monkeypatch.setattr(timing, "_PATIENCE_S", 0.2)

    async def body(loop: ReplayLoop) -> None:
        is_asked = True
        with loop.shows(VirtualClock(WALL_NS, never), lambda: is_asked):
            await asyncio.sleep(0.5)
            is_asked = False

    run(body)
