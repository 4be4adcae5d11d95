"""The outbox: what is written while nothing is wrong and in an outage, how a backlog drains."""

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

# A backlog is made faster than straps make one, and slowly enough that it is spilled, not dropped.
# With what follows it takes 7.5 s: after 10 s without an acknowledgement the daemon would connect
# anew, and that would be what is measured.
_FILL_HZ = 500.0

# By then what was taken is on disk: after two seconds at most.
_SPILLED_S = 2.5

# Before anything is measured the outbox claims its space: until nothing was written for so long.
_QUIET_S = 3.0


async def _claimed(product: Measured) -> int:
    """Wait until the start has written all that it writes; how much that was."""
    before, written = -1, written_bytes(product.pid)
    while before != written:
        await asyncio.sleep(_QUIET_S)
        before, written = written, written_bytes(product.pid)
    if not written:
        raise NotMeasured("the scratch folder is not on a disk: set TMPDIR to one that is")
    return written


async def disk(effort: Effort) -> list[Figure]:
    """Bytes written in a steady state, and by an outage."""
    steady = Figure("bytes written to disk in a steady state", "B", budget=Budget(0))
    outage = Figure("written by an outage, of each byte of payload", "B")
    payload_bytes = len(PAYLOAD % (1, time.time_ns(), 1))
    async with Stage() as stage:
        product = await stage.product(_STRAPS)
        await product.ask("pace", hz=_HZ, seconds=1)
        claimed = await _claimed(product)
        steady.note = f"{claimed / 1e6:.1f} MB by the start, which claims the outbox's space"
        for _ in range(effort.rounds):
            before = written_bytes(product.pid)
            seconds = effort.seconds(_STEADY_S / effort.rounds)
            await product.ask("pace", hz=_HZ, seconds=seconds)
            steady.product.append(written_bytes(product.pid) - before)
        for _ in range(effort.rounds):
            before = written_bytes(product.pid)
            stage.broker.freeze()
            seconds = effort.seconds(6)
            spent = await product.ask("pace", hz=_HZ, seconds=seconds, wait=False)
            await asyncio.sleep(_SPILLED_S)
            stage.broker.thaw()
            await stage.tap.ask("await", count=spent["count"], seconds=20)
            await asyncio.sleep(1)
            written = written_bytes(product.pid) - before
            outage.product.append(written / (spent["count"] * payload_bytes))
    return [steady, outage]


async def drain(effort: Effort) -> list[Figure]:
    """How fast a backlog is delivered, and live samples beside it."""
    rate = Figure("backlog drain", "samples/s", budget=Budget(5_000, at_least=True))
    live = Figure("live latency beside it, p50, by that with nothing to drain", "ms")
    late = Figure("the same, p99", "ms")
    async with Stage() as stage:
        product = await stage.product(_STRAPS, max_size="64MB")
        floor = await stage.floor(_STRAPS)
        await _claimed(product)
        for _ in range(effort.rounds):
            await stage.tap.ask("forget")
            stage.broker.freeze()
            count = effort.count(_BACKLOG)
            seconds = count / _FILL_HZ / _STRAPS
            spent = await product.ask("pace", hz=_FILL_HZ, seconds=seconds, wait=False)
            await asyncio.sleep(_SPILLED_S)
            thawed_ns = time.time_ns()
            stage.broker.thaw()
            beside = await product.ask("pace", hz=_HZ, seconds=6, wait=False)
            everything = spent["count"] + beside["count"]
            seen = await stage.tap.ask("await", count=everything, seconds=60, since_ns=thawed_ns)
            if seen["count"] < everything:
                raise AssertionError(f"{everything} taken, {seen['count']} arrived")
            rate.product.append(seen["history"] / seen["took_s"])
            bare = await floor.ask("burst", count=count)
            rate.floor.append(bare["count"] / bare["wall_s"])
            live.product.append(statistics.median(seen["live_ms"]))
            late.product.append(seen["live_ms"][int(len(seen["live_ms"]) * 0.99)])
            await stage.tap.ask("forget")
            quiet = await product.ask("pace", hz=_HZ, seconds=6)
            seen = await stage.tap.ask("await", count=quiet["count"], seconds=20)
            live.floor.append(statistics.median(seen["live_ms"]))
            late.floor.append(seen["live_ms"][int(len(seen["live_ms"]) * 0.99)])
    return [rate, live, late]
