"""A long run, as fast as possible: a million samples, and a week with an outage each night."""

import asyncio
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Budget, Effort, Figure
from benchmarks.proc import resident_mb
from benchmarks.stage import Measured, Stage

# More than 8 straps send in a day at one a second, or 32 in two hours at four.
_SAMPLES = 1_000_000
_CHUNK = 25_000

# Caches, pools and the outbox's own pages fill at first; a leak continues afterwards.
_WARM = 0.2

# The noise of the allocator in a run of this length.
_FLAT_MB = 0.35

_NIGHTS = 7
# Four straps at one a second for eight hours, and what they send in an hour of the day.
_SLEEPERS = 4
_NIGHT = _SLEEPERS * 8 * 3600
_DAY = _SLEEPERS * 3600
# Two nights of one week may differ by this much: about 8 MB pass through memory in each.
_WEEK_MB = 0.5
# A night takes 36 MB of it, so the file is neither nearly empty nor full.
_QUOTA = 48_000_000
# As many as memory holds while they wait for the disk (8 MB), with a margin.
_FILL_WINDOW = 4_000
# A night is delivered in ten seconds by an idle machine.
_DELIVERED_S = 300.0
# Afterwards the outbox tidies up: checkpoints, counters, memory that SQLite gives back.
_TIDY_S = 3.0
_LOOK_S = 0.5


async def slope(effort: Effort) -> list[Figure]:
    """Measure how resident memory grows with the number of samples; it should not."""
    return [await _slope(effort, straps) for straps in (1, 8, 64)]


async def _slope(effort: Effort, straps: int) -> Figure:
    title = f"growth of resident memory by 10⁶ samples of {straps} straps"
    figure = Figure(title.replace(" 1 straps", " a strap"), "MB", budget=Budget(_FLAT_MB))
    chunks = max(round(effort.count(_SAMPLES) / _CHUNK), 4)
    seen: list[tuple[float, float]] = []
    async with Stage() as stage:
        product = await stage.product(straps)
        for number in range(chunks):
            await stage.tap.order("forget")
            await product.order("burst", count=_CHUNK)
            seen.append(((number + 1) * _CHUNK / 1e6, resident_mb(product.pid)))
    warm = seen[round(len(seen) * _WARM) :]
    millions, resident = zip(*warm, strict=True)
    figure.product.append(statistics.linear_regression(millions, resident).slope)
    figure.note = f"{seen[0][1]:.1f} MB at first, {seen[-1][1]:.1f} MB after {chunks * _CHUNK:,}"
    return figure


class _Night(NamedTuple):
    """What was found after a night.

    Attributes:
        resident_mb: memory, when its samples are delivered.
        per_sample: bytes of the file for each stored sample, before they are delivered.
        of_quota: the largest size of the file in that night, as a part of its quota.
    """

    resident_mb: float
    per_sample: float
    of_quota: float


async def week(effort: Effort) -> list[Figure]:
    """Measure what a week with an outage each night leaves behind: it should be nothing."""
    memory = Figure("growth of resident memory by a week", "MB", budget=Budget(_WEEK_MB))
    density = Figure("space for a stored sample, seventh night by first", "B")
    density.budget = Budget(1.02, of_ratio=True)
    size = Figure("largest size of the outbox's file, by its quota", "× quota", budget=Budget(1.0))
    async with Stage() as stage:
        product = await stage.product(_SLEEPERS, max_size=str(_QUOTA))
        nights = [await _night(stage, product, effort) for _ in range(_NIGHTS)]
    first, last = nights[0], nights[-1]
    memory.product.append(last.resident_mb - first.resident_mb)
    memory.note = "MB after each night: " + ", ".join(f"{one.resident_mb:.1f}" for one in nights)
    density.product.append(last.per_sample)
    density.floor.append(first.per_sample)
    density.note = f"{effort.count(_NIGHT):,} samples a night, all of which arrived"
    size.product.append(max(one.of_quota for one in nights))
    return [memory, density, size]


async def _night(stage: Stage, product: Measured, effort: Effort) -> _Night:
    """Let an hour of the day pass and then a night without the broker; the next morning, look."""
    file = stage.folder / f"outbox-{_SLEEPERS}" / "outbox.sqlite3"
    await product.order("burst", count=effort.count(_DAY))
    await _arrived(stage, effort.count(_DAY))
    count = effort.count(_NIGHT)
    stage.broker.freeze()
    await product.order("burst", count=count, window=_FILL_WINDOW)
    used, rows = _contents(file)
    sizes = [file.stat().st_size]
    stage.broker.thaw()
    delivered = asyncio.create_task(_arrived(stage, count), name="delivered")
    while not delivered.done():
        sizes.append(file.stat().st_size)
        await asyncio.wait({delivered}, timeout=_LOOK_S)
    await delivered
    await asyncio.sleep(_TIDY_S)
    return _Night(resident_mb(product.pid), used / rows, max(sizes) / _QUOTA)


async def _arrived(stage: Stage, count: int) -> None:
    """Wait until this many different samples have arrived.

    Those that were on their way to the broker when the night began arrive twice.
    """
    expected, distinct = count, 0
    while distinct != count:
        seen = await stage.tap.order("await", count=expected, seconds=_DELIVERED_S)
        distinct = seen["distinct"]
        if seen["count"] < expected or distinct > count:
            raise AssertionError(f"{count} samples sent, {distinct} arrived")
        expected = seen["count"] + count - distinct
    await stage.tap.order("forget")


def _contents(file: Path) -> tuple[int, int]:
    """Return how many bytes of the outbox are in use, and how many samples it holds."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:

        def number(query: str) -> int:
            return int(db.execute(query).fetchone()[0])

        pages = number("PRAGMA page_count") - number("PRAGMA freelist_count")
        return pages * number("PRAGMA page_size"), number("SELECT count(*) FROM pending")
