"""Set-ups for faults, and one way to judge them."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest

from tests.chaos.faults import Fault
from tests.chaos.plan import Plan
from tests.chaos.rig import Rig


class Start(Protocol):
    """What the fixture ``start`` is."""

    async def __call__(self, plan: Plan) -> Rig: ...


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a set-up and waits until samples flow in it; it ends with the test."""
    numbers = count(1)
    async with AsyncExitStack() as stack:

        async def enter(plan: Plan) -> Rig:
            folder = tmp_path / f"rig-{next(numbers)}"
            folder.mkdir()
            rig = await stack.enter_async_context(Rig(folder, plan))
            await rig.gateway.start()
            await rig.flowing()
            return rig

        yield enter


async def at_once(start: Start, *cases: tuple[Plan, tuple[Fault, ...]], seed: int = 1) -> list[Rig]:
    """Several set-ups side by side, each with its own faults: most of the time they wait."""

    async def one(plan: Plan, faults: tuple[Fault, ...]) -> Rig:
        rig = await start(plan)
        await suffer(rig, *faults, seed=seed)
        return rig

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(plan, faults)) for plan, faults in cases]
    return [task.result() for task in running]


async def suffer(rig: Rig, *faults: Fault, seed: int = 1) -> None:
    """One fault after the other; each time everything flows again, and at the end all is there."""
    rng = random.Random(seed)
    for fault in faults:
        await fault(rig, rng)
        await rig.flowing()
    await assert_all_there(rig)


async def assert_all_there(rig: Rig) -> None:
    """Judge."""
    verdict = await rig.verdict(20)
    assert verdict.good, str(verdict)
