"""Contenders while straps send: memory, CPU, wake-ups, and what follows the loss of a link."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.comparison.contenders import Contender, Row, Side, streaming
from benchmarks.figures import Budget, Effort
from benchmarks.proc import cpu_s, resident_mb, switches
from benchmarks.surroundings import ONCE_A_SECOND

STRAPS = 8

# By then memory that only the start needs is freed, and a link counts as one that lasted.
_SETTLED_S = 5.0

# Long enough for what happens every few seconds, watchdog and outbox, in proportion.
_WINDOW_S = 15.0

# Rounds of the fake bluetoothd that are short enough for eight straps at 4 Hz, each in its own.
_ROUND_S = 1 / 80
_FOUR_A_SECOND = 20


async def memory(contenders: Sequence[Contender], effort: Effort, *, tls: bool = False) -> Row:
    """Measure resident memory, without TLS or with it."""
    title = f"resident memory, {STRAPS} straps, {'with' if tls else 'without'} TLS"
    row = Row(title, "MB", budget=Budget(0.82 if tls else 0.72, of_ratio=True))
    for _ in range(effort.rounds):
        async with streaming(contenders, STRAPS, every=ONCE_A_SECOND, apart=True, tls=tls) as sides:
            await asyncio.sleep(effort.seconds(_SETTLED_S))
            row.add(*(resident_mb(side.process.pid) for side in sides))
    return row


class _Spent(NamedTuple):
    """What a process has used until a moment."""

    at_s: float
    cpu_s: float
    samples: int
    switches: int
    wakes: int


def _spent(side: Side) -> _Spent:
    return _Spent(
        time.monotonic(),
        cpu_s(side.process.pid),
        side.setup.samples(),
        *switches(side.process.pid),
    )


class _Used(NamedTuple):
    """What a process has used in a while: in all, and for each sample."""

    share_pct: float
    us: float
    switches: float
    wakes: float


async def _used(sides: list[Side], effort: Effort) -> list[_Used]:
    """Let all run for a while; return what each of them has used."""
    await asyncio.sleep(effort.seconds(_SETTLED_S))
    before = [_spent(side) for side in sides]
    await asyncio.sleep(effort.seconds(_WINDOW_S))
    return [_difference(one, _spent(side)) for one, side in zip(before, sides, strict=True)]


def _difference(before: _Spent, after: _Spent) -> _Used:
    spent_s, samples = after.cpu_s - before.cpu_s, after.samples - before.samples
    return _Used(
        spent_s / (after.at_s - before.at_s) * 100,
        spent_s / samples * 1e6,
        (after.switches - before.switches) / samples,
        (after.wakes - before.wakes) / samples,
    )


async def rest(contenders: Sequence[Contender], effort: Effort) -> list[Row]:
    """Measure CPU with straps that send once a second."""
    title = f"{STRAPS} straps × 1 Hz, D-Bus included"
    cost = Row(f"CPU with {title}", "% of a core", budget=Budget(0.75, of_ratio=True))
    wakes = Row(f"wake-ups per sample, {title}", "")
    for _ in range(effort.rounds):
        async with streaming(contenders, STRAPS, every=ONCE_A_SECOND, apart=True) as sides:
            used = await _used(sides, effort)
            cost.add(*(one.share_pct for one in used))
            wakes.add(*(one.wakes for one in used))
    return [cost, wakes]


async def pace(contenders: Sequence[Contender], effort: Effort) -> list[Row]:
    """Measure CPU and wake-ups of each sample, with straps that send four times a second."""
    title = f"{STRAPS} straps × 4 Hz, D-Bus included"
    cost = Row(f"CPU per sample, {title}", "µs")
    budget = Budget(0.6, of_ratio=True)
    all_ = Row(f"context switches per sample, {title}", "", budget=budget)
    all_.note = "those that are not wake-ups are due to other work on the machine"
    wakes = Row("of these, wake-ups", "", budget=budget)
    for _ in range(effort.rounds):
        how = {"every": _FOUR_A_SECOND, "period_s": _ROUND_S, "apart": True}
        async with streaming(contenders, STRAPS, **how) as sides:
            used = await _used(sides, effort)
            cost.add(*(one.us for one in used))
            all_.add(*(one.switches for one in used))
            wakes.add(*(one.wakes for one in used))
    return [cost, all_, wakes]


async def recovery(contenders: Sequence[Contender], effort: Effort) -> Row:
    """Measure how soon a strap streams again after its link was lost while it advertises."""
    row = Row("link lost to streaming again, strap advertising", "s")
    async with streaming(contenders, 1) as sides:
        for _ in range(effort.rounds):
            # A link that lasted for three seconds is restored at once, like a real one.
            await asyncio.sleep(_SETTLED_S)
            row.add(*await asyncio.gather(*(_restored(side) for side in sides)))
    return row


async def _restored(side: Side) -> float:
    await side.setup.bluez.do("unlink", address=side.setup.addresses[0])
    began = time.monotonic()
    # A sample that was on its way is not one of the new link.
    await asyncio.sleep(_ON_ITS_WAY_S)
    await side.setup.until_streaming()
    return time.monotonic() - began


# Much longer than from the strap to the subscriber, and shorter than a new link takes.
_ON_ITS_WAY_S = 0.05
