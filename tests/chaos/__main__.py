"""Inject random faults for a given time: ``python -m tests.chaos --minutes 20 --seed 1``.

All faults of a run hit the same set-up. It prints a line for each fault, and at the end how many
samples were accepted, delivered and lost. The exit status is 1 if more was lost than promised.
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

# The relative frequency of each fault: long faults are rare.
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
    faults.client_id_takeover: 1,
    faults.drop_link: 2,
    faults.silence: 1,
    disk_faults.refused_writes: 2,
    disk_faults.delete_database: 1,
}
_LOOP_DISK_WEIGHTS = {disk_faults.full_disk: 1, disk_faults.cut_power: 4}

# The probability that the backlog is delivered before the next fault. Otherwise the fault occurs
# during the delivery.
_SETTLE_PROBABILITY = 0.6
# After this time a missing sample counts as lost, and the run continues.
_SETTLE_S = 15.0
# Enough for twenty log lines.
_ERROR_SIZE = 6000


class Run:
    """A long run in one write mode."""

    def __init__(self, write: str, seed: int, persistent: bool, without: list[str]) -> None:
        self.write = write
        self._rng = random.Random(f"{seed} {write}")
        self._plan = Plan(
            write=write, seed=seed, persistent=persistent, loop_disk=not WHY_NOT, max_size="8MB"
        )
        weights = _WEIGHTS | (_LOOP_DISK_WEIGHTS if not WHY_NOT else {})
        self._weights = {f: n for f, n in weights.items() if f.__name__ not in without}
        self._recoveries: dict[str, list[float]] = defaultdict(list)
        self._started: list[tuple[int, str]] = []
        self._unexpected: list[str] = []

    async def run(self, minutes: float) -> bool:
        """Inject faults for this long; return whether the delivery promise was kept."""
        with tempfile.TemporaryDirectory(prefix="healthd-chaos-") as folder:
            async with Rig(Path(folder), self._plan) as rig:
                await rig.gateway.start()
                await rig.wait_for_flow()
                end = time.monotonic() + minutes * 60
                while time.monotonic() < end:
                    await self._inject_next(rig)
                return await self._summarise(rig)

    async def _inject_next(self, rig: Rig) -> None:
        fault = self._rng.choices(list(self._weights), list(self._weights.values()))[0]
        name, started = fault.__name__, time.monotonic()
        self._started.append((time.monotonic_ns(), name))
        try:
            await fault(rig, self._rng)
            duration = time.monotonic() - started
            recovery = await rig.wait_for_flow()
        except (AssertionError, OSError, TimeoutError) as error:
            self._unexpected.append(f"{len(self._started)} {name}: {str(error)[:_ERROR_SIZE]}")
            self._print(f"{name} UNEXPECTED: {str(error)[:_ERROR_SIZE]}")
            await rig.end_all_faults()
            return
        self._recoveries[name].append(recovery)
        backlog = len(rig.ledger.outstanding)
        timing = f"{duration:5.1f} s, flows after {recovery:5.2f} s"
        self._print(f"{name:18} {timing}, backlog {backlog}")
        if self._rng.random() < _SETTLE_PROBABILITY:
            await rig.settle(_SETTLE_S)

    async def _summarise(self, rig: Rig) -> bool:
        verdict = await rig.verdict()
        recoveries = [seconds for values in self._recoveries.values() for seconds in values]
        self._print(f"{len(self._started)} faults, {verdict}")
        self._print(f"max backlog {rig.ledger.max_backlog}, gaps {dict(rig.ledger.reasons())}")
        self._print(f"recovery {_spread(recoveries)}")
        for name, seconds in sorted(self._recoveries.items()):
            self._print(f"  {name:18} {len(seconds):3} times, {_spread(seconds)}")
        for sample, why in verdict.lost[:20]:
            number, name = self._last_fault_before(sample.mono_ns)
            self._print(f"  lost near fault {number} ({name}): {sample.key}: {why}")
        for text in self._unexpected:
            self._print(f"  unexpected: {text}")
        return verdict.good and not self._unexpected

    def _last_fault_before(self, mono_ns: int) -> tuple[int, str]:
        started = [(n, name) for n, (ns, name) in enumerate(self._started, 1) if ns <= mono_ns]
        return started[-1] if started else (0, "start")

    def _print(self, text: str) -> None:
        print(f"{self.write:7} {len(self._started):4} {text}", flush=True)  # noqa: T201


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    low, median, high = min(seconds), statistics.median(seconds), max(seconds)
    return f"min {low:.2f} s, median {median:.2f} s, max {high:.2f} s"


async def _run_until_sigterm(arguments: argparse.Namespace) -> bool:
    """Cancel the runs at SIGTERM, so that disks are unmounted and processes are ended."""
    task = asyncio.create_task(_run_modes(arguments), name="chaos runs")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def _run_modes(arguments: argparse.Namespace) -> bool:
    modes = ("around", "through") if arguments.write == "both" else (arguments.write,)
    runs = [Run(mode, arguments.seed, arguments.persistent, arguments.without) for mode in modes]
    print(f"seed {arguments.seed}; {WHY_NOT or 'with disk faults'}", flush=True)  # noqa: T201
    async with asyncio.TaskGroup() as tasks:
        results = [tasks.create_task(run.run(arguments.minutes)) for run in runs]
    return all(task.result() for task in results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=20.0, help="for each write mode")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--write", choices=("around", "through", "both"), default="both")
    parser.add_argument("--persistent", action="store_true", help="the broker keeps its queue")
    parser.add_argument("--without", nargs="*", default=[], metavar="FAULT", help="faults to omit")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(_run_until_sigterm(_arguments())) else 1)
