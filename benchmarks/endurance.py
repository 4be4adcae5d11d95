"""Memory over a long run: the samples of more than an hour, as fast as possible."""

import statistics

from benchmarks.figures import Budget, Effort, Figure
from benchmarks.proc import resident_mb
from benchmarks.stage import Stage

_STRAPS = 8

# More than 8 straps send in a day at one a second, or 32 in two hours at four.
_SAMPLES = 1_000_000
_CHUNK = 25_000

# Caches, pools and the outbox's own pages fill at first; a leak continues afterwards.
_WARM = 0.2

# The noise of the allocator in a run of this length.
_FLAT_MB = 0.35


async def slope(effort: Effort) -> list[Figure]:
    """Measure how resident memory grows with the number of samples; it should not."""
    figure = Figure("growth of resident memory by 10⁶ samples", "MB", budget=Budget(_FLAT_MB))
    chunks = max(round(effort.count(_SAMPLES) / _CHUNK), 4)
    seen: list[tuple[float, float]] = []
    async with Stage() as stage:
        product = await stage.product(_STRAPS)
        for number in range(chunks):
            await stage.tap.order("forget")
            await product.order("burst", count=_CHUNK)
            seen.append(((number + 1) * _CHUNK / 1e6, resident_mb(product.pid)))
    warm = seen[round(len(seen) * _WARM) :]
    millions, resident = zip(*warm, strict=True)
    figure.product.append(statistics.linear_regression(millions, resident).slope)
    figure.note = f"{seen[0][1]:.1f} MB at first, {seen[-1][1]:.1f} MB after {chunks * _CHUNK:,}"
    return [figure]
