"""Random faults in a row for as long as one likes: ``python -m tests.chaos --minutes 20 --seed 1``.

One set-up lives through all of them. A line for each fault, and at the end what was accepted,
delivered and lost. Exits with 1 when anything was lost beyond the promise.
"""

import argparse
import asyncio
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.chaos import disk_faults, faults
from tests.chaos.disk import WHY_NOT
from tests.chaos.plan import Plan
from tests.chaos.rig import Rig

# How often each is drawn: what takes long is drawn rarely.
_WEIGHTS = {
    faults.kill: 4,
    faults.kill_in_outage: 4,
    faults.kill_twice: 2,
    faults.stop: 2,
    faults.stop_in_outage: 2,
    faults.freeze_gateway: 1,
    faults.cut: 4,
    faults.refuse: 3,
    faults.hiccup: 2,
    faults.latency: 2,
    faults.one_byte: 2,
    faults.black_hole: 1,
    faults.freeze_broker: 1,
    faults.kill_broker: 3,
    faults.wrong_password: 1,
    faults.deny_topic: 1,
    faults.twin: 1,
    faults.drop_link: 2,
    faults.silence: 1,
    disk_faults.refused_writes: 2,
    disk_faults.delete_database: 1,
}
_WITH_A_DISK = {disk_faults.full_disk: 1, disk_faults.cut_power: 4}

# Now and then the next fault meets a backlog that is still being delivered.
_SETTLES_FIRST = 0.6
# What is not there by then is lost, or stuck; the long run goes on.
_PATIENCE_S = 15.0


class Run:
    """One long run in one write mode."""

    def __init__(self, write: str, seed: int, persistent: bool, without: list[str]) -> None:
        self.write = write
        self._rng = random.Random(f"{seed} {write}")
        self._plan = Plan(
            write=write, seed=seed, persistent=persistent, loop_disk=not WHY_NOT, max_size="8MB"
        )
        every = _WEIGHTS | (_WITH_A_DISK if not WHY_NOT else {})
        self._weights = {f: n for f, n in every.items() if f.__name__ not in without}
        self._recoveries: dict[str, list[float]] = defaultdict(list)
        self._began: list[tuple[int, str]] = []
        self._unexpected: list[str] = []

    async def last(self, minutes: float) -> bool:
        """Go on for this long; whether the promise was kept."""
        with tempfile.TemporaryDirectory(prefix="healthd-chaos-") as folder:
            async with Rig(Path(folder), self._plan) as rig:
                await rig.gateway.start()
                await rig.flowing()
                end = time.monotonic() + minutes * 60
                while time.monotonic() < end:
                    await self._next(rig)
                return await self._sum_up(rig)

    async def _next(self, rig: Rig) -> None:
        fault = self._rng.choices(list(self._weights), list(self._weights.values()))[0]
        name, began = fault.__name__, time.monotonic()
        self._began.append((time.monotonic_ns(), name))
        try:
            await fault(rig, self._rng)
            lasted = time.monotonic() - began
            recovery = await rig.flowing()
        except (AssertionError, OSError, TimeoutError) as error:
            self._unexpected.append(f"{len(self._began)} {name}: {str(error)[:500]}")
            self._say(f"{name} UNEXPECTED: {str(error)[:500]}")
            await rig.mend()
            return
        self._recoveries[name].append(recovery)
        waits = len(rig.ledger.outstanding)
        self._say(f"{name:16} {lasted:5.1f} s, flows after {recovery:5.2f} s, {waits} wait")
        if self._rng.random() < _SETTLES_FIRST:
            await rig.settle(_PATIENCE_S)

    async def _sum_up(self, rig: Rig) -> bool:
        verdict = await rig.verdict()
        every = [seconds for all_ in self._recoveries.values() for seconds in all_]
        self._say(f"{len(self._began)} faults, {verdict}")
        self._say(f"max backlog {rig.ledger.max_backlog}, gaps {dict(rig.ledger.reasons())}")
        self._say(f"recovery {_spread(every)}")
        for name, seconds in sorted(self._recoveries.items()):
            self._say(f"  {name:16} {len(seconds):3} times, {_spread(seconds)}")
        for sample, why in verdict.lost[:20]:
            number, name = self._before(sample.mono_ns)
            self._say(f"  lost near fault {number} ({name}): {sample.key}: {why}")
        for text in self._unexpected:
            self._say(f"  unexpected: {text}")
        return verdict.good and not self._unexpected

    def _before(self, mono_ns: int) -> tuple[int, str]:
        began = [(n, name) for n, (ns, name) in enumerate(self._began, 1) if ns <= mono_ns]
        return began[-1] if began else (0, "start")

    def _say(self, text: str) -> None:
        print(f"{self.write:7} {len(self._began):4} {text}", flush=True)  # noqa: T201


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return f"min {low:.2f} s, median {middle:.2f} s, max {high:.2f} s"


async def _to_the_end(arguments: argparse.Namespace) -> bool:
    """SIGTERM ends it as an error does: what is mounted is unmounted, what runs is ended."""
    task = asyncio.create_task(_last(arguments))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def _last(arguments: argparse.Namespace) -> bool:
    modes = ("around", "through") if arguments.write == "both" else (arguments.write,)
    runs = [Run(mode, arguments.seed, arguments.persistent, arguments.without) for mode in modes]
    print(f"seed {arguments.seed}; {WHY_NOT or 'with disk faults'}", flush=True)  # noqa: T201
    async with asyncio.TaskGroup() as tasks:
        results = [tasks.create_task(run.last(arguments.minutes)) for run in runs]
    return all(task.result() for task in results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=20.0, help="for each write mode")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--write", choices=("around", "through", "both"), default="both")
    parser.add_argument("--persistent", action="store_true", help="the broker keeps its queue")
    parser.add_argument("--without", nargs="*", default=[], metavar="FAULT", help="left out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(_to_the_end(_arguments())) else 1)
