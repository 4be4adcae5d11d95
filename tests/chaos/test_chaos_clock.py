"""A wall clock that is wrong, that steps, and that is set right."""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos import faults
from tests.chaos.conftest import Start, assert_all_there
from tests.chaos.faketime import FakeTime, needs_faketime
from tests.chaos.plan import Plan
from tests.chaos.rig import Rig
from tests.support.mosquitto import needs_mosquitto

pytestmark = [needs_mosquitto, needs_faketime, pytest.mark.timeout(120)]

_TEN_YEARS_S = 10 * 365 * 86400
# The wall clock of this machine is itself set now and then, and a stamp is taken before the tap.
_TOLERANCE_S = 0.25


async def test_a_clock_that_steps_and_one_that_is_set_late(start: Start, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        for offset in ("+10y", "-10y"):
            (folder := tmp_path / offset).mkdir()
            tasks.create_task(_step_and_back(start, folder, offset))
        for restarted in (False, True):
            (folder := tmp_path / f"restarted-{restarted}").mkdir()
            tasks.create_task(_set_right(start, folder, restarted))


async def _step_and_back(start: Start, folder: Path, offset: str) -> None:
    """Ten years forward or back, and home again: nothing stalls, nothing is lost."""
    fake = FakeTime(folder)
    rig = await start(Plan(environ=fake.environ))
    fake.set(offset)
    step = await rig.event("clock", change="step")
    sign = 1 if offset[0] == "+" else -1
    assert step.fields["step_s"] == pytest.approx(sign * _TEN_YEARS_S, rel=0.01)
    await rig.flowing(5)
    assert _seen_year(rig) == datetime.now(UTC).year + sign * 10
    # What waits for time to pass waits on the other clock: also to disk, and back.
    await rig.proxy.refuse()
    await faults.wait(3)
    known = len(rig.ledger.events)
    fake.set("+0")
    change = "step" if offset[0] == "+" else "synced"
    await rig.gateway.logged("clock", change=change)
    await rig.proxy.listen()
    await rig.event("clock", since=known, change=change)
    await rig.flowing(5)
    assert _seen_year(rig) == datetime.now(UTC).year
    await assert_all_there(rig)


def _seen_year(rig: Rig) -> int:
    return datetime.fromtimestamp(rig.ledger.accepted[-1].wall_ns / 1e9, UTC).year


# What waits while the clock is wrong: three seconds of three straps, so the first are on disk.
_WAITING = 180


async def _set_right(start: Start, folder: Path, restarted: bool) -> None:
    """A Pi without a battery-backed clock boots in the past; samples taken then are repaired."""
    fake, timesync = FakeTime(folder, "-10y"), folder / "timesync"
    timesync.mkdir()
    plan = Plan(environ=fake.environ, arguments=["--timesync", str(timesync)])
    rig = await start(plan)
    rig.ledger.keep_payloads = True
    await rig.proxy.refuse()
    known = len(rig.ledger.accepted)
    await rig.until(lambda: len(rig.ledger.accepted) > known + _WAITING, 20, "some samples")
    if restarted:
        await rig.gateway.stop()
    fake.set("+0")
    (timesync / "synchronized").touch()
    if restarted:
        await rig.gateway.start()
    else:
        await rig.gateway.logged("clock", change="synced")
    await rig.proxy.listen()
    await rig.flowing()
    await assert_all_there(rig)
    ahead_ns = time.time_ns() - time.monotonic_ns()
    stored = [o for o in rig.ledger.accepted[known:] if o.wall_ns < time.time_ns() - 10**17]
    assert len(stored) > _WAITING, "taken while the clock was wrong"
    for one in stored:
        if one.key.stream != "heart_rate":
            continue
        fields = json.loads(rig.ledger.payloads[one.key])
        true = (one.mono_ns + ahead_ns) / 1e9
        assert fields["clock"] == "synced"
        said = datetime.fromisoformat(fields["time"]).timestamp()
        assert said == pytest.approx(true, abs=_TOLERANCE_S)
