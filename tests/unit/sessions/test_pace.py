"""How often a failing periodic peripheral is tried, over hours of virtual time."""

import asyncio
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from healthd.central.faults import LinkFault, LinkLost
from healthd.host.clock import Clock
from healthd.runs import Run
from healthd.schedule import Every, Last, Rearmed, Schedule
from healthd.sessions.faults import TakesRadioDown
from healthd.sessions.periodic import Fetched, Periodic, Plan
from healthd.sessions.schedule_file import ScheduleFile
from healthd.sessions.session import Session, State
from tests.support import virtual_time
from tests.support.stage import Watcher

WINDOW_S = 120.0
HOUR_S = 3600.0

Fault = Callable[[], LinkFault | None]


class LongestPause(random.Random):
    """Draws the longest possible pause."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Scripted:
    """A fake session whose peripheral is always found; each try takes a second, and may fail."""

    asks = waits_for_slot = False
    refusal = None

    def __init__(self, fault: Fault) -> None:
        self.state = State.DISABLED
        self.tries: list[float] = []
        self.fault = fault

    async def fetch(self, on_found: Callable[[], None]) -> None:
        self.state = State.SEARCHING
        self.tries.append(asyncio.get_running_loop().time())
        on_found()
        await asyncio.sleep(1.0)
        if (fault := self.fault()) is not None:
            self.state = State.WAITING
            raise fault
        self.state = State.STREAMING

    def rest(self) -> None:
        self.state = State.WAITING

    def disable(self) -> None:
        self.state = State.DISABLED

    @property
    def gaps(self) -> list[float]:
        """The pauses from the end of each try to the next one."""
        return [later - earlier - 1.0 for earlier, later in itertools.pairwise(self.tries)]


class Scene:
    """One periodic peripheral, and what it reports."""

    def __init__(self, folder: Path, fault: Fault, every_s: float | None) -> None:
        self.session, self.watcher = Scripted(fault), Watcher()
        run = Run(Clock(), {"BOOT_ID": "boot"})

        def make(last: Last | None) -> Schedule:
            now = run.clock.now()
            if every_s is None:
                return Rearmed(300.0, last, "boot", now)
            return Every(every_s, last, "boot", now)

        plan = Plan(make, WINDOW_S, every_s is None, LongestPause())
        session, file = cast(Session, self.session), ScheduleFile(folder)
        self.periodic = Periodic("scale", session, plan, run, file, self.watcher)

    async def run_for(self, seconds: float) -> None:
        """Run it for this long."""
        running = asyncio.create_task(self.periodic.run(lambda: None))
        await asyncio.sleep(seconds)
        running.cancel()
        await asyncio.wait([running])

    @property
    def runs(self) -> list[Fetched]:
        return [run for _, run in self.watcher.fetched]


def taking_radio_down() -> Fault:
    times = itertools.count(2)
    return lambda: TakesRadioDown("scale", next(times), LinkLost())


@pytest.mark.parametrize("every_s", [None, 180.0, 900.0], ids=["advertising", "3min", "15min"])
def test_pauses_after_taking_the_radio_down_apply_across_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float | None
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, taking_radio_down(), every_s)
        await scene.run_for(3 * HOUR_S)
        pauses = [60.0, 120.0, 240.0, 480.0, *itertools.repeat(900.0, 8)]
        gaps = scene.session.gaps
        assert len(gaps) >= 5
        assert all(gap >= pause - 1e-6 for gap, pause in zip(gaps, pauses, strict=False)), gaps
        assert {(run.outcome, run.reason) for run in scene.runs} == {("failed", "takes_radio_down")}

    virtual_time.run(body, monkeypatch)


def test_a_run_during_the_pause_is_over_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, taking_radio_down(), 180.0)
        await scene.run_for(HOUR_S)
        untried = [run for run in scene.runs if run.duration_s == 0]
        assert len(untried) > 5
        assert all("next try in" in str(run.error) for run in untried)

    virtual_time.run(body, monkeypatch)


def test_a_request_during_the_pause_is_answered_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, taking_radio_down(), None)
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(scene.run_for(HOUR_S))
        await scene.watcher.runs(3)
        await asyncio.sleep(20.0)  # the run that waits for the end of the pause has begun
        tries, asked_at = len(scene.session.tries), loop.time()
        fetched = await scene.periodic.fetch()
        assert (fetched.outcome, fetched.reason) == ("failed", "takes_radio_down")
        assert loop.time() == asked_at
        assert len(scene.session.tries) == tries
        await running
        assert len(scene.session.tries) > tries, "it is tried again without a request"

    virtual_time.run(body, monkeypatch)


def test_failed_runs_in_a_row_have_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, LinkLost, None)
        ended: list[float] = []
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(scene.run_for(2 * HOUR_S))
        while len(ended) < 12:
            await scene.watcher.runs(len(ended) + 1)
            ended.append(loop.time())
        await running
        firsts = [next(at for at in scene.session.tries if at > end) for end in ended]
        pauses = [first - end for first, end in zip(firsts, ended, strict=True)]
        assert pauses[0] <= 15.0, "a scale is still awake"
        assert pauses == sorted(pauses)
        assert pauses[-1] == pytest.approx(300.0)

    virtual_time.run(body, monkeypatch)


def test_after_a_success_the_pauses_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, LinkLost, None)
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(scene.run_for(2 * HOUR_S))
        await scene.watcher.runs(5)
        scene.session.fault = lambda: None
        runs = await scene.watcher.runs(6)
        assert runs[-1].outcome == "no_data"
        scene.session.fault = LinkLost
        await scene.watcher.runs(7)
        ended, tries = loop.time(), len(scene.session.tries)
        await scene.watcher.runs(8)
        assert scene.session.tries[tries] - ended <= 15.0
        await running

    virtual_time.run(body, monkeypatch)
