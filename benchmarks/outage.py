"""The outbox: what it writes in a steady state and in an outage, and how a backlog drains."""

import asyncio
import statistics
import time

from benchmarks.figures import Budget, Effort, Figure, NotMeasured
from benchmarks.floor import PAYLOAD
from benchmarks.proc import written_bytes
from benchmarks.stage import Measured, Stage

_STRAPS = 8
_HZ = 4.0

_STEADY_S = 60.0
_BACKLOG = 20_000

# Faster than straps send, and slow enough that the backlog is stored, not dropped. Filling takes
# 7.5 s in all: after 10 s without an acknowledgement the daemon would reconnect, and that would be
# part of the measurement.
_FILL_HZ = 500.0

# By then all samples are on disk: after two seconds at most.
SPILLED_S = 2.5

# Before the measurement the outbox allocates its space: wait until it writes nothing for this long.
_QUIET_S = 3.0


async def claimed(product: Measured) -> int:
    """Wait until the start has finished writing; return the number of bytes."""
    before, written = -1, written_bytes(product.pid)
    while before != written:
        await asyncio.sleep(_QUIET_S)
        before, written = written, written_bytes(product.pid)
    if not written:
        raise NotMeasured("the scratch folder is not on a disk: set TMPDIR to one that is")
    return written


async def disk(effort: Effort) -> list[Figure]:
    """Measure bytes written in a steady state, and in an outage."""
    steady = Figure("bytes written to disk in a steady state", "B", budget=Budget(0))
    outage = Figure("written by an outage, of each byte of payload", "B")
    payload_bytes = len(PAYLOAD % (1, time.time_ns(), 1))
    async with Stage() as stage:
        product = await stage.product(_STRAPS)
        await product.order("pace", hz=_HZ, seconds=1)
        by_start = await claimed(product)
        steady.note = f"{by_start / 1e6:.1f} MB by the start, which claims the outbox's space"
        for _ in range(effort.rounds):
            before = written_bytes(product.pid)
            seconds = effort.seconds(_STEADY_S / effort.rounds)
            await product.order("pace", hz=_HZ, seconds=seconds)
            steady.product.append(written_bytes(product.pid) - before)
        for _ in range(effort.rounds):
            before = written_bytes(product.pid)
            stage.broker.freeze()
            seconds = effort.seconds(6)
            spent = await product.order("pace", hz=_HZ, seconds=seconds, wait=False)
            await asyncio.sleep(SPILLED_S)
            stage.broker.thaw()
            await stage.tap.order("await", count=spent["count"], seconds=20)
            await asyncio.sleep(1)
            written = written_bytes(product.pid) - before
            outage.product.append(written / (spent["count"] * payload_bytes))
    return [steady, outage]


async def drain(effort: Effort) -> list[Figure]:
    """Measure how fast a backlog is delivered, and live latency during that time."""
    rate = Figure("backlog drain", "samples/s", budget=Budget(5_000, at_least=True))
    live = Figure("live latency while draining, p50, by that with nothing to drain", "ms")
    late = Figure("the same, p99", "ms")
    async with Stage() as stage:
        product = await stage.product(_STRAPS, max_size="64MB")
        floor = await stage.floor(_STRAPS)
        await claimed(product)
        for _ in range(effort.rounds):
            await stage.tap.order("forget")
            stage.broker.freeze()
            count = effort.count(_BACKLOG)
            seconds = count / _FILL_HZ / _STRAPS
            spent = await product.order("pace", hz=_FILL_HZ, seconds=seconds, wait=False)
            await asyncio.sleep(SPILLED_S)
            thawed_ns = time.time_ns()
            stage.broker.thaw()
            during = await product.order("pace", hz=_HZ, seconds=6, wait=False)
            everything = spent["count"] + during["count"]
            seen = await stage.tap.order("await", count=everything, seconds=60, since_ns=thawed_ns)
            if seen["count"] < everything:
                raise AssertionError(f"{everything} sent, {seen['count']} arrived")
            rate.product.append(seen["history"] / seen["took_s"])
            bare = await floor.order("burst", count=count)
            rate.floor.append(bare["count"] / bare["wall_s"])
            live.product.append(statistics.median(seen["live_ms"]))
            late.product.append(seen["live_ms"][int(len(seen["live_ms"]) * 0.99)])
            await stage.tap.order("forget")
            quiet = await product.order("pace", hz=_HZ, seconds=6)
            seen = await stage.tap.order("await", count=quiet["count"], seconds=20)
            live.floor.append(statistics.median(seen["live_ms"]))
            late.floor.append(seen["live_ms"][int(len(seen["live_ms"]) * 0.99)])
    return [rate, live, late]
