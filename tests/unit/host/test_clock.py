"""When the wall clock is trusted."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from healthd.host.clock import Clock
from healthd.samples import Stamp
from tests.support import virtual_time

# 2026-11-24T02:03:31Z, and a Pi that boots without a battery-backed clock.
LATE_NS = 1_795_485_811_000_000_000
BOOT_NS = 86_400_000_000_000

SECOND_NS = 1_000_000_000


class Clocks:
    """The wall clock and the monotonic clock, set by the test."""

    def __init__(self) -> None:
        self.wall_ns = LATE_NS
        self.mono_ns = 5_000

    def time_ns(self) -> int:
        return self.wall_ns

    def monotonic_ns(self) -> int:
        return self.mono_ns


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    time = SimpleNamespace(time_ns=clocks.time_ns, monotonic_ns=clocks.monotonic_ns)
    monkeypatch.setattr("healthd.host.clock.time", time)
    return clocks


def test_stamp_holds_both_clocks(clocks: Clocks, tmp_path: Path) -> None:
    stamp = Clock(tmp_path).now()
    assert (stamp.wall_ns, stamp.mono_ns) == (LATE_NS, 5_000)


def test_synced_once_timesyncd_says_so(clocks: Clocks, tmp_path: Path) -> None:
    (tmp_path / "synchronized").touch()
    assert Clock(tmp_path).now().clock == "synced"


def test_unsynced_while_timesyncd_waits(clocks: Clocks, tmp_path: Path) -> None:
    assert Clock(tmp_path).now().clock == "unsynced"


def test_a_plausible_clock_is_trusted_if_there_is_no_timesyncd(
    clocks: Clocks, tmp_path: Path
) -> None:
    assert Clock(tmp_path / "absent").now().clock == "synced"


@pytest.mark.parametrize("folder", [".", "absent"])
def test_an_implausible_clock_is_never_trusted(clocks: Clocks, tmp_path: Path, folder: str) -> None:
    (tmp_path / "synchronized").touch()
    clocks.wall_ns = BOOT_NS
    assert Clock(tmp_path / folder).now().clock == "unsynced"


def test_the_state_is_checked_again_after_a_second_and_not_before(
    clocks: Clocks, tmp_path: Path
) -> None:
    clock = Clock(tmp_path)
    assert clock.now().clock == "unsynced"
    (tmp_path / "synchronized").touch()
    clocks.mono_ns += SECOND_NS - 1
    assert clock.now().clock == "unsynced"
    clocks.mono_ns += 1
    assert clock.now().clock == "synced"


def test_a_step_of_the_wall_clock_does_not_delay_the_next_check(
    clocks: Clocks, tmp_path: Path
) -> None:
    clocks.wall_ns = BOOT_NS
    clock = Clock(tmp_path / "absent")
    assert clock.now().clock == "unsynced"
    clocks.wall_ns = LATE_NS
    clocks.mono_ns += SECOND_NS
    stamp = clock.now()
    assert (stamp.clock, stamp.wall_ns) == ("synced", LATE_NS)


def test_a_stamp_from_before_synchronisation_is_repaired(clocks: Clocks, tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    clocks.wall_ns = BOOT_NS
    early = clock.now()
    clocks.mono_ns += 10 * SECOND_NS
    clocks.wall_ns = LATE_NS
    assert clock.repaired(early) is early  # the new time is not confirmed yet
    (tmp_path / "synchronized").touch()
    clocks.mono_ns += SECOND_NS
    repaired = clock.repaired(early)
    assert repaired == Stamp(LATE_NS - 11 * SECOND_NS, early.mono_ns, "synced")
    assert clock.repaired(repaired) is repaired


def test_a_step_is_reported_soon_and_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps: list[float] = []
    synced: list[float] = []

    async def body() -> None:
        shown, step_s = time.time_ns, 0.0
        # Undone before the virtual time ends: what it restores later would be the virtual clock.
        with monkeypatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: shown() + round(step_s * 1e9))
            clock = Clock(tmp_path)
            watch = asyncio.create_task(clock.watch(steps.append, synced.append))
            await asyncio.sleep(30)
            step_s = 86_400.0
            (tmp_path / "synchronized").touch()
            await asyncio.sleep(2)
            assert [round(one) for one in synced] == [86_400]
            for _ in range(3):
                await asyncio.sleep(60)
                step_s -= 3600
                await asyncio.sleep(10)
            watch.cancel()

    virtual_time.run(body, monkeypatch)
    assert [round(one) for one in steps] == [-3600] * 3
    assert len(synced) == 1
