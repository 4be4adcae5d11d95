"""Start set-ups, inject faults into them, and check that nothing was lost."""

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
    """The type of the fixture ``start``."""

    async def __call__(self, plan: Plan) -> Rig: ...


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Provide a function that starts a set-up and waits until samples flow in it."""
    numbers = count(1)
    async with AsyncExitStack() as stack:

        async def enter(plan: Plan) -> Rig:
            folder = tmp_path / f"rig-{next(numbers)}"
            folder.mkdir()
            rig = await stack.enter_async_context(Rig(folder, plan))
            await rig.gateway.start()
            await rig.wait_for_flow()
            return rig

        yield enter


async def inject_in_parallel(
    start: Start, *cases: tuple[Plan, tuple[Fault, ...]], seed: int = 1
) -> list[Rig]:
    """Run several set-ups in parallel, each with its own faults: they wait most of the time."""

    async def run(plan: Plan, faults: tuple[Fault, ...]) -> Rig:
        rig = await start(plan)
        await inject(rig, *faults, seed=seed)
        return rig

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run(plan, faults)) for plan, faults in cases]
    return [task.result() for task in running]


async def inject(rig: Rig, *faults: Fault, seed: int = 1) -> None:
    """Inject one fault after another, wait for flow after each, and check for losses at the end."""
    rng = random.Random(seed)
    for fault in faults:
        await fault(rig, rng)
        await rig.wait_for_flow()
    await assert_nothing_lost(rig)


async def assert_nothing_lost(rig: Rig) -> None:
    """Wait until all samples are settled, and check the verdict."""
    verdict = await rig.verdict(20)
    assert verdict.good, str(verdict)
