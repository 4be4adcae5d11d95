"""The daemon next to ten hostile peripherals, hostile requests and a broker that goes away.

Everything is judged against a quiet run at the same time. `make attack` runs for ten minutes.
"""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.attack.hostile import HOSTILE
from tests.attack.rig import REQUESTS_PER_S, Attack, Outcome, memory_high, percentile, run
from tests.attack.walk import beyond
from tests.support.effort import FULL, effort
from tests.support.mosquitto import needs_mosquitto

_SECONDS = effort(8, 600)
pytestmark = [needs_mosquitto, pytest.mark.timeout(_SECONDS + 300)]

# Of a quiet run, whose process has the same virtual radio.
_MOST_MEMORY = 1.3
# A person notices no delay below this.
_LATE_S = 0.1


async def test_an_attack_costs_no_sample_of_another_peripheral(tmp_path: Path) -> None:
    """D1, D5, D6, D9, D13, D14, D24: all at once."""
    attack = Attack(
        _SECONDS,
        hostile=[*(one.id for one in HOSTILE), "spam"],
        requests=REQUESTS_PER_S,
        outages=True,
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run(tmp_path / "attack", attack))
        waiting = tasks.create_task(run(tmp_path / "quiet", Attack(_SECONDS)))
    attacked, quiet = running.result(), waiting.result()
    report = _report(attacked, quiet)
    print(report)  # noqa: T201
    assert not any(quiet.missing.values()), report
    assert not any(attacked.missing.values()), report
    assert not {gap["peripheral"] for gap in attacked.gaps if "strap" in gap["peripheral"]}, report
    assert not attacked.unnamed, report
    assert max(attacked.pss) <= _MOST_MEMORY * max(quiet.pss), report
    assert max(attacked.pss) <= memory_high(), report
    assert not [line for line in attacked.log if line["event"] in ("crashed", "failed")], report
    assert not beyond(attacked.held), report
    if FULL:
        assert percentile(attacked.late_s, 0.99) <= _LATE_S, report


def _report(attacked: Outcome, quiet: Outcome) -> str:
    lines = [""]
    for name, one in (("quiet", quiet), ("attack", attacked)):
        missing = {strap: numbers[:5] for strap, numbers in one.missing.items() if numbers}
        delays_s = one.delays_s()
        lines += [
            f"{name}: memory {max(one.pss) / 1e6:.1f} MB, CPU {one.cpu_s:.1f} s, "
            f"loop late p50 {percentile(one.late_s, 0.5) * 1e3:.1f} ms, "
            f"p99 {percentile(one.late_s, 0.99) * 1e3:.0f} ms, max {max(one.late_s) * 1e3:.0f} ms",
            f"  measurements of straps: {sum(map(len, one.sent.values()))} sent, "
            f"{sum(map(len, one.missing.values()))} missing {missing}; live after "
            f"p50 {percentile(delays_s, 0.5) * 1e3:.1f} ms, "
            f"p99 {percentile(delays_s, 0.99) * 1e3:.0f} ms",
        ]
    gaps = Counter((gap["peripheral"], gap["stream"], gap["reason"]) for gap in attacked.gaps)
    largest = sorted(attacked.held.items(), key=lambda row: -row[1].size)[:12]
    lines += [f"  lost without a name: {attacked.unnamed}", f"  gaps: {dict(gaps)}"]
    lines += [f"  {label}: {held}" for label, held in largest]
    lines += [f"  {text}" for text in beyond(attacked.held)]
    return "\n".join(lines)
