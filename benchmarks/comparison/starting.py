"""The start of contenders: time to the first sample and its CPU; of healthd also its writes."""

import asyncio
import time
from collections.abc import Sequence

from benchmarks.comparison.contenders import Contender, Row
from benchmarks.figures import Budget, Effort
from benchmarks.proc import cpu_s, written_bytes
from benchmarks.service import ONCE_A_SECOND, import_s, prepared
from benchmarks.trees import Tree

# The default quota.
_QUOTA_BYTES = 256_000_000

# A start has written everything if it writes nothing for this long.
_QUIET_S = 4.0


async def start(contenders: Sequence[Contender], effort: Effort) -> list[Row]:
    """Measure time and CPU from the command to the first sample, and to those of 8 straps."""
    rows: list[Row] = []
    for straps, title in ((1, "first sample at a subscriber"), (8, "samples of all of 8 straps")):
        budget = Budget(0.75, of_ratio=True) if straps == 1 else None
        took = Row(f"start to {title}", "s", budget=budget)
        cost = Row("CPU until then", "s")
        for _ in range(effort.rounds):
            # At the same time: a busy machine makes each of them slower, by as much.
            starts = [_start(contender, straps) for contender in contenders]
            times, costs = zip(*await asyncio.gather(*starts), strict=True)
            took.add(*times)
            cost.add(*costs)
        rows += [took, cost]
    return rows


async def _start(contender: Contender, straps: int) -> tuple[float, float]:
    async with prepared(straps) as setup:
        began = time.monotonic()
        async with contender.launch(setup) as process:
            await setup.until_streaming()
            return time.monotonic() - began, cpu_s(process.pid)


async def imports(trees: Sequence[Tree], effort: Effort) -> Row:
    """Measure the CPU time of all imports until a strap streams."""
    row = Row("import of everything that `run` needs, CPU", "s", budget=Budget(0.6, of_ratio=True))
    row.note = "all modules that are loaded until a strap streams"
    for _ in range(effort.rounds):
        row.add(*[await import_s(tree) for tree in trees])
    return row


async def first(trees: Sequence[Tree], effort: Effort) -> list[Row]:
    """Measure what the first start writes with the default quota of the outbox, and its CPU."""
    size = Row("bytes written by the first start, 256 MB outbox", "MB", budget=Budget(1))
    cost = Row("CPU until it writes nothing more", "s")
    # It hardly varies, and an old one writes half a gigabyte.
    for _ in range(min(effort.rounds, 2)):
        written, spent_s = zip(*[await _first(tree, effort) for tree in trees], strict=True)
        size.add(*(one / 1e6 for one in written))
        cost.add(*spent_s)
    return [size, cost]


async def _first(tree: Tree, effort: Effort) -> tuple[int, float]:
    quota = effort.count(_QUOTA_BYTES)
    surroundings = prepared(1, every=ONCE_A_SECOND, max_size=quota)
    async with surroundings as setup, setup.healthd(tree) as process:
        await setup.until_streaming()
        before, written = -1, written_bytes(process.pid)
        while before != written:
            await asyncio.sleep(_QUIET_S)
            before, written = written, written_bytes(process.pid)
        return written, cpu_s(process.pid)
