"""A wall clock that is wrong, that steps, and that is corrected."""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos import faults
from tests.chaos.conftest import Start, assert_nothing_lost
from tests.chaos.faketime import FakeTime, needs_faketime
from tests.chaos.plan import Plan
from tests.chaos.rig import Rig
from tests.support.mosquitto import needs_mosquitto

pytestmark = [needs_mosquitto, needs_faketime, pytest.mark.timeout(120)]

_TEN_YEARS_S = 10 * 365 * 86400
# This machine's wall clock is adjusted too, and a sample is time-stamped before the outbox tap: a
# busy machine may stop the process in between. A clock that was not corrected is wrong by years.
_TOLERANCE_S = 2.0


async def test_clock_that_steps_and_clock_that_is_synced_late(start: Start, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        for offset in ("+10y", "-10y"):
            (folder := tmp_path / offset).mkdir()
            tasks.create_task(_step_forth_and_back(start, folder, offset))
        for restarted in (False, True):
            (folder := tmp_path / f"restarted-{restarted}").mkdir()
            tasks.create_task(_sync_late(start, folder, restarted))


async def _step_forth_and_back(start: Start, folder: Path, offset: str) -> None:
    """Step ten years and back again: nothing stalls, nothing is lost."""
    fake = FakeTime(folder)
    rig = await start(Plan(environ=fake.environ))
    fake.set(offset)
    step = await rig.wait_for_event("clock", change="step")
    sign = 1 if offset[0] == "+" else -1
    assert step.fields["step_s"] == pytest.approx(sign * _TEN_YEARS_S, rel=0.01)
    await rig.wait_for_flow()
    assert _last_year(rig) == datetime.now(UTC).year + sign * 10
    # All waits use the monotonic clock, including those for writing to disk and for reconnecting.
    await rig.proxy.refuse()
    await faults.wait(3)
    known = len(rig.ledger.events)
    fake.set("+0")
    change = "step" if offset[0] == "+" else "synced"
    await rig.gateway.logged("clock", change=change)
    await rig.proxy.listen()
    await rig.wait_for_event("clock", since=known, change=change)
    await rig.wait_for_flow()
    assert _last_year(rig) == datetime.now(UTC).year
    await assert_nothing_lost(rig)


def _last_year(rig: Rig) -> int:
    return datetime.fromtimestamp(rig.ledger.accepted[-1].wall_ns / 1e9, UTC).year


# The backlog while the clock is wrong: three seconds of three straps, so the oldest are on disk.
_BACKLOG = 180


async def _sync_late(start: Start, folder: Path, restarted: bool) -> None:
    """Correct the times of samples taken before the clock of a Raspberry Pi was synchronised."""
    fake, timesync = FakeTime(folder, "-10y"), folder / "timesync"
    timesync.mkdir()
    plan = Plan(environ=fake.environ, arguments=["--timesync", str(timesync)])
    rig = await start(plan)
    rig.ledger.keep_payloads = True
    await rig.proxy.refuse()
    known = len(rig.ledger.accepted)
    await rig.until(lambda: len(rig.ledger.accepted) > known + _BACKLOG, 20, "a backlog")
    if restarted:
        await rig.gateway.stop()
    fake.set("+0")
    (timesync / "synchronized").touch()
    if restarted:
        await rig.gateway.start()
    else:
        await rig.gateway.logged("clock", change="synced")
    await rig.proxy.listen()
    await rig.wait_for_flow()
    await assert_nothing_lost(rig)
    offset_ns = time.time_ns() - time.monotonic_ns()
    stored = [s for s in rig.ledger.accepted[known:] if s.wall_ns < time.time_ns() - 10**17]
    assert len(stored) > _BACKLOG, "too few samples were taken while the clock was wrong"
    for sample in stored:
        if sample.key.stream != "heart_rate":
            continue
        fields = json.loads(rig.ledger.payloads[sample.key])
        assert fields["clock"] == "synced"
        published = datetime.fromisoformat(fields["time"]).timestamp()
        expected = (sample.mono_ns + offset_ns) / 1e9
        assert published == pytest.approx(expected, abs=_TOLERANCE_S)
