"""From the notification callback to PUBACK, and to the disk if there is no PUBACK."""

import asyncio
import time
from collections.abc import Sequence

from benchmarks.delivery import BURST, HZ, PACE_S, STRAPS, cost_us, published
from benchmarks.figures import Budget, Effort, Figure
from benchmarks.floor import PAYLOAD
from benchmarks.orders import Answer
from benchmarks.outage import SPILLED_S, claimed
from benchmarks.proc import switches, written_bytes
from benchmarks.stage import Measured, Stage
from benchmarks.trees import Tree

# With this id the working tree's daemon can share a broker with the old one.
_NEW = ("--gateway", "bench-new")

_OUTAGE_S = 6.0

# Longer than a sample takes, and shorter than the time between two of them.
_APART_S = 0.004


async def cpu(new_tree: Tree, old_tree: Tree, effort: Effort) -> list[Figure]:
    """Compare CPU and wake-ups of each sample, flat out and at the pace of straps."""
    title = f"{STRAPS} straps × {HZ:g} Hz, callback to PUBACK"
    burst = Figure("CPU per sample, flat out", "µs", budget=Budget(0.85, of_ratio=True))
    lean = Figure(
        "the same against paho in one thread", "µs", burst.product, budget=Budget(1.5, True)
    )
    lean.note = "in the column of the old one: the leanest program that can be written with paho"
    paced = Figure(f"CPU per sample, {title}", "µs", budget=Budget(0.7, of_ratio=True))
    wakes = Figure(f"wake-ups per sample, {title}", "")
    async with Stage() as stage:
        new = await stage.product(STRAPS, *_NEW, tree=new_tree)
        old = await stage.product(STRAPS, tree=old_tree)
        bare = await stage.floor(STRAPS)
        for _ in range(effort.rounds):
            flat_out = ((new, burst.product), (old, burst.floor), (bare, lean.floor))
            for process, values in flat_out:
                count = effort.count(BURST)
                spent, _ = await published(stage, process, "burst", count=count)
                values.append(cost_us(spent))
            spent, woken = await _paced(stage, [new, old], effort)
            for side, (costs, wake) in enumerate(
                ((paced.product, wakes.product), (paced.floor, wakes.floor))
            ):
                costs.append(cost_us(spent[side]))
                wake.append(woken[side] / spent[side]["count"])
    return [burst, lean, paced, wakes]


async def _paced(
    stage: Stage, processes: Sequence[Measured], effort: Effort
) -> tuple[list[Answer], list[int]]:
    """Let all send at the pace of straps, at the same time; return their costs and wake-ups."""
    await stage.tap.order("forget")
    before = [switches(process.pid)[1] for process in processes]

    async def send(number: int, process: Measured) -> Answer:
        # Not at the same moments: they share a CPU.
        await asyncio.sleep(number * _APART_S)
        return await process.order("pace", hz=HZ, seconds=effort.seconds(PACE_S))

    spent = await asyncio.gather(*(send(*numbered) for numbered in enumerate(processes)))
    woken = [switches(process.pid)[1] for process in processes]
    count = sum(one["count"] for one in spent)
    seen = await stage.tap.order("await", count=count, seconds=20)
    assert (seen["count"], seen["whole"]) == (count, True), f"{count} sent, {seen['count']} arrived"
    return spent, [after - one for one, after in zip(before, woken, strict=True)]


async def outage(new_tree: Tree, old_tree: Tree, effort: Effort) -> list[Figure]:
    """Compare what an outage writes, with both in the same outage."""
    figure = Figure(
        "written by an outage, of each byte of payload", "B", budget=Budget(0.5, of_ratio=True)
    )
    payload_bytes = len(PAYLOAD % (1, time.time_ns(), 1))
    async with Stage() as stage:
        new = await stage.product(STRAPS, *_NEW, tree=new_tree)
        old = await stage.product(STRAPS, tree=old_tree)
        for process in (new, old):
            await process.order("pace", hz=HZ, seconds=1)
        for process in (new, old):
            await claimed(process)
        for _ in range(effort.rounds):
            await stage.tap.order("forget")
            before = [written_bytes(process.pid) for process in (new, old)]
            stage.broker.freeze()
            counts = await asyncio.gather(*(_send(process, effort) for process in (new, old)))
            await asyncio.sleep(SPILLED_S)
            stage.broker.thaw()
            seen = await stage.tap.order("await", count=sum(counts), seconds=20)
            assert seen["count"] >= sum(counts), f"{counts} sent, {seen['count']} arrived"
            await asyncio.sleep(1)
            written = [written_bytes(process.pid) for process in (new, old)]
            for side, values in enumerate((figure.product, figure.floor)):
                payload = counts[side] * payload_bytes
                values.append((written[side] - before[side]) / payload)
    return [figure]


async def _send(process: Measured, effort: Effort) -> int:
    """Let all straps send while the broker is frozen; return the number of samples."""
    seconds = effort.seconds(_OUTAGE_S)
    spent = await process.order("pace", hz=HZ, seconds=seconds, wait=False)
    return int(spent["count"])
