"""Figures: how fast a backlog drains, what that does to live samples, and what is written."""

import asyncio
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.disk import WHY_NOT
from tests.chaos.evidence import Delivery
from tests.chaos.plan import Plan
from tests.chaos.rig import Rig

_BACKLOG = 20_000
# Three straps of this rate fill it in about half a minute; while it drains they are slow again.
_FILLS, _DRAINS = 250.0, 20.0
_QUIET_S = 20.0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _latency(rig: Rig, deliveries: Iterable[Delivery]) -> str:
    """Of live samples, from acceptance to the subscriber."""
    late = sorted(
        (one.mono_ns - rig.ledger.taken_at[one.key]) / 1e6
        for one in deliveries
        if not one.history and one.key.stream == "heart_rate"
    )
    if not late:
        return "no live sample"
    p99 = late[int(len(late) * 0.99)]
    return f"p50 {statistics.median(late):.2f} ms, p99 {p99:.2f} ms of {len(late)} live samples"


async def drain() -> bool:
    """Build a backlog while the broker is frozen; watch it drain beside the next run's samples."""
    plan = Plan(rate=_FILLS, max_size="64MB", direct=True)
    with tempfile.TemporaryDirectory(prefix="healthd-chaos-") as folder:
        async with Rig(Path(folder), plan) as rig:
            ledger = rig.ledger
            await rig.gateway.start()
            await rig.flowing()
            rig.broker.freeze()
            await rig.until(lambda: len(ledger.outstanding) >= _BACKLOG, 300, "a backlog")
            await rig.gateway.stop()
            rig.broker.thaw()
            rig.gateway.arguments[rig.gateway.arguments.index(str(_FILLS))] = str(_DRAINS)
            known = len(ledger.deliveries)
            await rig.gateway.start()
            await rig.flowing()
            await rig.settle(300)
            during = ledger.deliveries[known:]
            old = [one.mono_ns for one in during if one.history]
            took_s = (old[-1] - old[0]) / 1e9
            _say(f"drained {len(old)} in {took_s:.2f} s: {len(old) / took_s:.0f} a second")
            live = [one for one in during if old[0] <= one.mono_ns <= old[-1]]
            _say(f"while it drains: {_latency(rig, live)}")
            known = len(ledger.deliveries)
            await asyncio.sleep(_QUIET_S)
            _say(f"with nothing to drain: {_latency(rig, ledger.deliveries[known:])}")
            verdict = await rig.verdict()
            _say(str(verdict))
            return verdict.good


async def steady(minutes: float) -> bool:
    """Bytes that the gateway writes to the disk in a steady state; they have to be none."""
    with tempfile.TemporaryDirectory(prefix="healthd-chaos-") as folder:
        async with Rig(Path(folder), Plan(rate=4.0, loop_disk=not WHY_NOT)) as rig:
            await rig.gateway.start()
            await rig.flowing()
            # The store claims its space first.
            before, written = -1, _written(rig.gateway.pid)
            while before != written:
                await asyncio.sleep(5)
                before, written = written, _written(rig.gateway.pid)
            _say(f"{written} bytes written by the start")
            await asyncio.sleep(minutes * 60)
            more = _written(rig.gateway.pid) - written
            verdict = await rig.verdict()
            _say(f"{more} bytes written in {minutes:g} min; {verdict}")
            return more == 0 and verdict.good


def _written(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])
