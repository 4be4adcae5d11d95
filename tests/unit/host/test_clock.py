"""When the wall clock is believed."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from healthd.host.clock import Clock
from healthd.samples import Stamp

# 2026-11-24T02:03:31Z, and a Pi that boots without a battery-backed clock.
LATE_NS = 1_795_485_811_000_000_000
BOOT_NS = 86_400_000_000_000

SECOND_NS = 1_000_000_000


class Hands:
    """Both clocks, moved by the test."""

    def __init__(self) -> None:
        self.wall_ns = LATE_NS
        self.mono_ns = 5_000

    def time_ns(self) -> int:
        return self.wall_ns

    def monotonic_ns(self) -> int:
        return self.mono_ns


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    time = SimpleNamespace(time_ns=hands.time_ns, monotonic_ns=hands.monotonic_ns)
    monkeypatch.setattr("healthd.host.clock.time", time)
    return hands


def test_stamp_holds_both_clocks(hands: Hands, tmp_path: Path) -> None:
    stamp = Clock(tmp_path).now()
    assert (stamp.wall_ns, stamp.mono_ns) == (LATE_NS, 5_000)


def test_synced_once_timesyncd_says_so(hands: Hands, tmp_path: Path) -> None:
    (tmp_path / "synchronized").touch()
    assert Clock(tmp_path).now().clock == "synced"


def test_unsynced_while_timesyncd_waits(hands: Hands, tmp_path: Path) -> None:
    assert Clock(tmp_path).now().clock == "unsynced"


def test_a_plausible_clock_is_believed_where_there_is_no_timesyncd(
    hands: Hands, tmp_path: Path
) -> None:
    assert Clock(tmp_path / "absent").now().clock == "synced"


@pytest.mark.parametrize("folder", [".", "absent"])
def test_an_implausible_clock_is_never_believed(hands: Hands, tmp_path: Path, folder: str) -> None:
    (tmp_path / "synchronized").touch()
    hands.wall_ns = BOOT_NS
    assert Clock(tmp_path / folder).now().clock == "unsynced"


def test_looks_again_after_a_second_and_not_before(hands: Hands, tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    assert clock.now().clock == "unsynced"
    (tmp_path / "synchronized").touch()
    hands.mono_ns += SECOND_NS - 1
    assert clock.now().clock == "unsynced"
    hands.mono_ns += 1
    assert clock.now().clock == "synced"


def test_a_jump_of_the_wall_clock_delays_nothing(hands: Hands, tmp_path: Path) -> None:
    hands.wall_ns = BOOT_NS
    clock = Clock(tmp_path / "absent")
    assert clock.now().clock == "unsynced"
    hands.wall_ns = LATE_NS
    hands.mono_ns += SECOND_NS
    stamp = clock.now()
    assert (stamp.clock, stamp.wall_ns) == ("synced", LATE_NS)


def test_a_stamp_from_before_synchronisation_is_repaired(hands: Hands, tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    hands.wall_ns = BOOT_NS
    early = clock.now()
    hands.mono_ns += 10 * SECOND_NS
    hands.wall_ns = LATE_NS
    assert clock.repaired(early) is early  # nobody has said yet that the new time is right
    (tmp_path / "synchronized").touch()
    hands.mono_ns += SECOND_NS
    repaired = clock.repaired(early)
    assert repaired == Stamp(LATE_NS - 11 * SECOND_NS, early.mono_ns, "synced")
    assert clock.repaired(repaired) is repaired
