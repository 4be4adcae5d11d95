"""The start of ``healthd run``: imports, time to the first sample, and what it writes."""

import asyncio
import time

from benchmarks.comparison.pair import Pair, in_turns
from benchmarks.figures import Budget, Effort, Figure
from benchmarks.importing import Importing
from benchmarks.launched import Launched
from benchmarks.proc import cpu_s, written_bytes
from benchmarks.service import ONCE_A_SECOND, prepared
from benchmarks.trees import Tree

# The default quota.
_QUOTA_BYTES = 256_000_000

# A start has written everything if it writes nothing for this long.
_QUIET_S = 4.0


async def imports(pair: Pair, effort: Effort) -> list[Figure]:
    """Compare the CPU time of all imports until a strap streams."""
    figure = Figure(
        "import of everything that `run` needs, CPU", "s", budget=Budget(0.6, of_ratio=True)
    )
    figure.note = "all modules that are loaded until a strap streams"
    for number in range(effort.rounds):
        for tree, values in in_turns(pair, figure, number):
            values.append(await _import_s(tree))
    return [figure]


async def _import_s(tree: Tree) -> float:
    async with prepared(1) as setup:
        with Importing() as importing:
            async with Launched(
                tree,
                "run",
                "--config",
                str(setup.config),
                program=importing.program,
                environ=setup.environ,
                descriptors=(importing.descriptor,),
            ):
                await setup.until_streaming()
                return importing.seconds()


async def start(pair: Pair, effort: Effort) -> list[Figure]:
    """Compare time and CPU from the command to the first sample, and to those of 8 straps."""
    figures: list[Figure] = []
    for straps, title in ((1, "first sample at a subscriber"), (8, "samples of all of 8 straps")):
        budget = Budget(0.75, of_ratio=True) if straps == 1 else None
        took = Figure(f"start to {title}", "s", budget=budget)
        cost = Figure("CPU until then", "s")
        for number in range(effort.rounds):
            turns = zip(in_turns(pair, took, number), in_turns(pair, cost, number), strict=True)
            for (tree, times), (_, costs) in turns:
                took_s, spent_s = await _start(tree, straps)
                times.append(took_s)
                costs.append(spent_s)
        figures += [took, cost]
    return figures


async def _start(tree: Tree, straps: int) -> tuple[float, float]:
    async with prepared(straps) as setup:
        began = time.monotonic()
        async with setup.healthd(tree) as healthd:
            await setup.until_streaming()
            return time.monotonic() - began, cpu_s(healthd.pid)


async def first(pair: Pair, effort: Effort) -> list[Figure]:
    """Compare what the first start writes with the default quota of the outbox, and its CPU."""
    figure = Figure("bytes written by the first start, 256 MB outbox", "MB", budget=Budget(1))
    cost = Figure("CPU until it writes nothing more", "s")
    for number in range(min(effort.rounds, 2)):
        turns = zip(in_turns(pair, figure, number), in_turns(pair, cost, number), strict=True)
        for (tree, sizes), (_, costs) in turns:
            written, spent_s = await _first(tree, effort)
            sizes.append(written / 1e6)
            costs.append(spent_s)
    return [figure, cost]


async def _first(tree: Tree, effort: Effort) -> tuple[int, float]:
    quota = effort.count(_QUOTA_BYTES)
    async with (
        prepared(1, every=ONCE_A_SECOND, max_size=quota) as setup,
        setup.healthd(tree) as healthd,
    ):
        await setup.until_streaming()
        before, written = -1, written_bytes(healthd.pid)
        while before != written:
            await asyncio.sleep(_QUIET_S)
            before, written = written, written_bytes(healthd.pid)
        return written, cpu_s(healthd.pid)
