"""``healthd run`` while straps send: memory, CPU and wake-ups, D-Bus included."""

import asyncio
import time
from typing import NamedTuple

from benchmarks.comparison.pair import Pair, Side, streaming
from benchmarks.figures import Budget, Effort, Figure
from benchmarks.proc import cpu_s, resident_mb, switches
from benchmarks.service import ONCE_A_SECOND

_STRAPS = 8

# By then memory that only the start needs is freed.
_SETTLED_S = 5.0

# Long enough for what happens every few seconds, watchdog and outbox, in proportion.
_WINDOW_S = 15.0

# Rounds of the fake bluetoothd that are short enough for eight straps at 4 Hz, each in its own.
_ROUND_S = 1 / 80
_FOUR_A_SECOND = 20


async def memory(pair: Pair, effort: Effort) -> list[Figure]:
    """Compare resident memory, without TLS and with it."""
    figures: list[Figure] = []
    for tls, limit, how in ((False, 0.72, "without TLS"), (True, 0.82, "with TLS")):
        title = f"resident memory of healthd run, {_STRAPS} straps, {how}"
        figure = Figure(title, "MB", budget=Budget(limit, of_ratio=True))
        for _ in range(effort.rounds):
            async with streaming(pair, _STRAPS, every=ONCE_A_SECOND, apart=True, tls=tls) as sides:
                await asyncio.sleep(effort.seconds(_SETTLED_S))
                for side, values in zip(sides, (figure.product, figure.floor), strict=True):
                    values.append(resident_mb(side.healthd.pid))
        figures.append(figure)
    return figures


class _Spent(NamedTuple):
    """What a daemon has used until a moment."""

    at_s: float
    cpu_s: float
    samples: int
    switches: int
    wakes: int


def _spent(side: Side) -> _Spent:
    return _Spent(
        time.monotonic(),
        cpu_s(side.healthd.pid),
        side.setup.samples(),
        *switches(side.healthd.pid),
    )


async def rest(pair: Pair, effort: Effort) -> list[Figure]:
    """Compare CPU with straps that send once a second."""
    figure = Figure(
        f"CPU with {_STRAPS} straps × 1 Hz, D-Bus included",
        "% of a core",
        budget=Budget(0.75, of_ratio=True),
    )
    wakes = Figure(f"wake-ups per sample, {_STRAPS} straps × 1 Hz, D-Bus included", "")
    for _ in range(effort.rounds):
        async with streaming(pair, _STRAPS, every=ONCE_A_SECOND, apart=True) as sides:
            for side, (before, after) in enumerate(await _window(sides, effort)):
                share = (after.cpu_s - before.cpu_s) / (after.at_s - before.at_s) * 100
                _values(figure, side).append(share)
                per = after.samples - before.samples
                _values(wakes, side).append((after.wakes - before.wakes) / per)
    return [figure, wakes]


async def pace(pair: Pair, effort: Effort) -> list[Figure]:
    """Compare CPU and wake-ups of each sample, with straps that send four times a second."""
    title = f"{_STRAPS} straps × 4 Hz, D-Bus included"
    cost = Figure(f"CPU per sample, {title}", "µs")
    budget = Budget(0.6, of_ratio=True)
    all_ = Figure(f"context switches per sample, {title}", "", budget=budget)
    wakes = Figure("of these, to wait until woken", "", budget=budget)
    for _ in range(effort.rounds):
        how = {"every": _FOUR_A_SECOND, "period_s": _ROUND_S, "apart": True}
        async with streaming(pair, _STRAPS, **how) as sides:
            for side, (before, after) in enumerate(await _window(sides, effort)):
                per = after.samples - before.samples
                _values(cost, side).append((after.cpu_s - before.cpu_s) / per * 1e6)
                _values(all_, side).append((after.switches - before.switches) / per)
                _values(wakes, side).append((after.wakes - before.wakes) / per)
    return [cost, all_, wakes]


async def _window(sides: list[Side], effort: Effort) -> list[tuple[_Spent, _Spent]]:
    """Let both run for a while; return what they had used before and after."""
    await asyncio.sleep(effort.seconds(_SETTLED_S))
    before = [_spent(side) for side in sides]
    await asyncio.sleep(effort.seconds(_WINDOW_S))
    return list(zip(before, map(_spent, sides), strict=True))


def _values(figure: Figure, side: int) -> list[float]:
    return figure.floor if side else figure.product
