"""When the outbox's service works next."""

import asyncio
import math

from healthd.outbox.alarm import Alarm
from tests.unit.outbox.bench import BOUND_S, run_ready_tasks, soon


def later(seconds: float) -> float:
    """Return a time on the clock of the event loop."""
    return asyncio.get_running_loop().time() + seconds


async def waiting(alarm: Alarm, at: float) -> asyncio.Task[None]:
    """Return a task that waits."""
    task = asyncio.create_task(alarm.wait(at))
    await run_ready_tasks()
    assert alarm.is_waited_for and not task.done()
    return task


async def test_it_goes_off_at_its_time() -> None:
    alarm, at = Alarm(), later(0.02)
    await soon(alarm.wait(at))
    assert later(0) >= at
    assert alarm.at == math.inf and not alarm.is_waited_for


async def test_a_ring_wakes_at_once() -> None:
    alarm = Alarm()
    task = await waiting(alarm, later(10 * BOUND_S))
    alarm.ring()
    await soon(task)


async def test_a_ring_before_the_wait_counts_once() -> None:
    alarm = Alarm()
    alarm.ring()
    await soon(alarm.wait(later(10 * BOUND_S)))
    task = await waiting(alarm, later(10 * BOUND_S))
    task.cancel()


async def test_its_time_is_advanced_while_it_is_waited_for() -> None:
    alarm = Alarm()
    task = await waiting(alarm, later(10 * BOUND_S))
    alarm.advance(later(0.01))
    await soon(task)


async def test_it_is_put_off_while_it_is_waited_for() -> None:
    alarm = Alarm()
    first = later(0.1)
    task = await waiting(alarm, first)
    alarm.set(later(10 * BOUND_S))
    alarm.advance(later(20 * BOUND_S))
    await asyncio.sleep(0.2)
    assert not task.done()
    alarm.advance(later(0))
    await soon(task)


async def test_a_wait_that_is_cancelled_leaves_no_time() -> None:
    alarm = Alarm()
    task = await waiting(alarm, later(10 * BOUND_S))
    task.cancel()
    await asyncio.wait([task])
    alarm.advance(later(0))
    assert alarm.at == math.inf and not alarm.is_waited_for
