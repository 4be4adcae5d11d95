"""Work that does not end at its first cancellation."""

import asyncio

import pytest

from healthd.central.insist import run_within
from tests.support.stage import BOUND_S


class Stubborn:
    """Work that ignores a number of cancellations."""

    def __init__(self, ignores: int) -> None:
        self.cancelled = 0
        self.ended = False
        self._ignores = ignores

    async def work(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.cancelled > self._ignores:
                    self.ended = True
                    raise


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healthd.central.insist._AGAIN_S", 0.05)


async def test_the_result_of_work_in_time_is_returned() -> None:
    async def work() -> int:
        return 7

    assert await run_within(work(), 10) == 7


async def test_the_exception_of_work_in_time_is_raised() -> None:
    async def work() -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await run_within(work(), 10)


@pytest.mark.parametrize("ignores", [0, 1, 2])
async def test_work_is_cancelled_until_it_ends(ignores: int) -> None:
    stubborn = Stubborn(ignores)
    with pytest.raises(TimeoutError):
        await run_within(stubborn.work(), 0.05)
    assert stubborn.ended
    assert stubborn.cancelled == ignores + 1


async def test_work_that_ignores_all_cancellations_is_abandoned() -> None:
    stubborn = Stubborn(5)
    async with asyncio.timeout(BOUND_S):
        with pytest.raises(TimeoutError):
            await run_within(stubborn.work(), 0.05)
    assert not stubborn.ended
    (left,) = asyncio.all_tasks() - {asyncio.current_task()}
    while not stubborn.ended:
        left.cancel()
        await asyncio.wait([left], timeout=0.05)


async def test_a_cancelled_caller_also_cancels_its_work_repeatedly() -> None:
    stubborn = Stubborn(1)
    waiting = asyncio.create_task(run_within(stubborn.work(), 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert stubborn.ended
