"""A start with a full outbox, against the same start with an empty one: memory and time."""

import asyncio
import os
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Budget, Effort, Figure
from benchmarks.floor import PAYLOAD
from benchmarks.proc import peak_mb
from benchmarks.surroundings import prepared
from healthd.outbox.schema import Entry
from healthd.outbox.store import Store
from tests.support.process import clean_environment

# The default quota.
_QUOTA_BYTES = 256_000_000
_STRAPS = 8
_BATCH = 250

# By then the outbox drains, and its table has been checked for a while.
_SETTLED_S = 5.0


async def backlog(effort: Effort) -> list[Figure]:
    """Measure a start with a full outbox, and the command that shows what is in it."""
    peak = Figure(
        "peak memory of a start with a full outbox", "MB", budget=Budget(1.04, of_ratio=True)
    )
    first = Figure(
        "start to the first live sample with a full outbox", "s", budget=Budget(1.2, of_ratio=True)
    )
    command = Figure("`healthd outbox` with a full outbox", "s", budget=Budget(0.5))
    with TemporaryDirectory(prefix="healthd-bench-") as folder:
        empty, full = Path(folder) / "empty.sqlite3", Path(folder) / "full.sqlite3"
        quota = effort.count(_QUOTA_BYTES)
        await asyncio.to_thread(_make_empty, empty, quota)
        samples = await asyncio.to_thread(_make_full, full, quota)
        for _ in range(effort.rounds):
            for file, peaks, times in (
                (full, peak.product, first.product),
                (empty, peak.floor, first.floor),
            ):
                took_s, most_mb = await _start(file, quota, effort)
                peaks.append(most_mb)
                times.append(took_s)
            command.product.append(await _show(full))
            command.floor.append(await _show(empty))
    peak.note = f"{samples:,} samples wait; the floor, here and below, is an empty outbox"
    return [peak, first, command]


def _make_empty(path: Path, quota: int) -> None:
    store = Store(path, quota)
    while store.claim_space():
        pass
    store.close()


def _make_full(path: Path, quota: int) -> int:
    """Store samples of a day with eight straps until the first are evicted; return how many."""
    store, number, began_ns = Store(path, quota), 0, time.time_ns() - 86_400 * 10**9
    while not store.pop_lost():
        store.append(_entry(number + n, began_ns) for n in range(1, _BATCH + 1))
        number += _BATCH
    samples = sum(store.depth().counts.values())
    store.close()
    return samples


def _entry(number: int, began_ns: int) -> Entry:
    seq, strap = divmod(number, _STRAPS)
    wall_ns = began_ns + number * 10**8
    payload = PAYLOAD % (seq, wall_ns, seq)
    return Entry(
        f"strap-{strap}", "heart_rate", "heart_rate/1", "00000000", seq, wall_ns, number, "synced",
        "", payload,
    )  # fmt: skip


async def _start(file: Path, quota: int, effort: Effort) -> tuple[float, float]:
    """Start healthd with a copy of this outbox; return seconds to a sample, and peak memory."""
    async with prepared(1, max_size=quota) as setup:
        (folder := setup.config.parent / "outbox").mkdir()
        await asyncio.to_thread(shutil.copy, file, folder / "outbox.sqlite3")
        # The copy is on its way to the disk until then.
        await asyncio.to_thread(os.sync)
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *_command("run", "--config", setup.config),
            env={**clean_environment(), **setup.environ},
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await setup.until_streaming()
            took_s = time.monotonic() - began
            await asyncio.sleep(effort.seconds(_SETTLED_S))
            return took_s, peak_mb(process.pid)
        finally:
            process.kill()
            await process.wait()


async def _show(file: Path) -> float:
    with TemporaryDirectory(prefix="healthd-bench-") as folder:
        (Path(folder) / "outbox.sqlite3").symlink_to(file)
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *_command("outbox", "--directory", folder), stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0
        return time.monotonic() - began


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "healthd", *map(str, arguments)]
