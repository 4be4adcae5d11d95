"""A peripheral that floods next to seven well-behaved ones: what it costs them.

Runs follow one another, because they would take each other's processor. `make attack` compares
three pairs of them.
"""

import statistics
from pathlib import Path

import pytest

from tests.attack.rig import Attack, Outcome, percentile, run
from tests.support.effort import FULL, effort
from tests.support.mosquitto import needs_mosquitto

_SECONDS, _ROUNDS = effort(10, 30), effort(1, 3)
pytestmark = [needs_mosquitto, pytest.mark.timeout(_ROUNDS * 2 * (_SECONDS + 200))]

_STRAPS = 7
# Of the time in a quiet run, from the notification to the subscriber.
_MOST_DELAY = 2.0
# Small enough to be full within an outage of seconds.
_FULL = {"outbox": {"max_size": "1MB"}}


@pytest.mark.parametrize("hostile", ["flood", "swift"])
async def test_a_flood_delays_no_live_sample_of_others(tmp_path: Path, hostile: str) -> None:
    """D9."""
    fast, slow = list[float](), list[float]()
    for number in range(_ROUNDS):
        quiet = await run(tmp_path / f"quiet-{number}", Attack(_SECONDS, straps=_STRAPS))
        attack = Attack(_SECONDS, straps=_STRAPS, hostile=[hostile])
        flooded = await run(tmp_path / f"flood-{number}", attack)
        report = f"{_report('quiet', quiet)}\n{_report(hostile, flooded)}"
        print(report)  # noqa: T201
        assert not any(flooded.missing.values()), report
        assert not flooded.unnamed, report
        fast.append(percentile(quiet.delays_s(), 0.99))
        slow.append(percentile(flooded.delays_s(), 0.99))
    if FULL:
        assert statistics.median(slow) <= _MOST_DELAY * statistics.median(fast), (slow, fast)


async def test_a_full_outbox_makes_room_at_the_cost_of_who_fills_it(tmp_path: Path) -> None:
    """D9: in an outage of a full outbox only the flooding peripheral loses samples."""
    outcome = await run(
        tmp_path / "full",
        Attack(_SECONDS, straps=_STRAPS, hostile=["flood"], outages=True, settings=_FULL),
    )
    lost = {gap["peripheral"] for gap in outcome.gaps if gap.get("count")}
    assert not any(outcome.missing.values()), (outcome.missing, lost)
    assert not outcome.unnamed, outcome.unnamed
    assert lost <= {"flood"}, lost


def _report(name: str, one: Outcome) -> str:
    delays_s = one.delays_s()
    return (
        f"{name}: {len(delays_s)} live, p50 {percentile(delays_s, 0.5) * 1e3:.1f} ms, "
        f"p99 {percentile(delays_s, 0.99) * 1e3:.1f} ms, CPU {one.cpu_s:.1f} s, "
        f"{sum(map(len, one.missing.values()))} missing"
    )
