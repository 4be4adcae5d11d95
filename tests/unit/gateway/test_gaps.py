"""Gaps: the stretches of a stream from the last sample before to the first one after."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

import pytest

from healthd.gateway.gaps import Gaps
from healthd.host.clock import Clock
from healthd.outbox.continuity import End, PreviousRun
from healthd.runs import Run
from healthd.samples import Measurement, Sample, Stamp, utc_text

START_NS = 1_795_485_811_000_000_000
SECOND_NS = 1_000_000_000

STRAP, SCALE = ("strap", "beat"), ("scale", "beat")


class Beat(Measurement):
    kind: ClassVar[str] = "beat"


class Weighing(Measurement):
    kind: ClassVar[str] = "weighing"
    retained: ClassVar[bool] = True


class Watched:
    """The gaps of one run, and their events."""

    def __init__(self, run: Run, periodic: Collection[str] = ()) -> None:
        self.run = run
        self.events: list[Sample] = []
        self.gaps = Gaps(run, self.events.append)
        for peripheral in periodic:
            self.gaps.add(peripheral, periodic=True)

    def sample(
        self,
        at_s: int,
        peripheral: str = "strap",
        stream: str = "beat",
        measurement: Measurement | None = None,
    ) -> Sample:
        """Make a sample of this second, and pass it to the gaps."""
        stamp = Stamp(START_NS + at_s * SECOND_NS, at_s * SECOND_NS, "synced")
        sample = self.run.sample(peripheral, stream, measurement or Beat(), stamp)
        self.gaps.before_sample(sample)
        return sample

    def reported(self) -> list[dict[str, Any]]:
        return [event.measurement.fields() for event in self.events]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(Run(Clock(tmp_path / "no-timesyncd"), {}))


def at(second: int) -> str:
    return utc_text(START_NS + second * SECOND_NS)


def previous(
    *, clean: bool, ends: dict[tuple[str, str], End], run: str = "before", began_s: int = -100
) -> PreviousRun:
    return PreviousRun(run, clean, START_NS + began_s * SECOND_NS, ends)


def end(seq: int, second: int) -> End:
    return End(seq, START_NS + second * SECOND_NS)


# Samples that a device had stored


def stored(watched: Watched, second: int) -> None:
    stamp = Stamp(START_NS + second * SECOND_NS, second * SECOND_NS, "synced")
    watched.gaps.before_sample(watched.run.sample("strap", "beat", Beat(), stamp, stored=True))


def test_stored_samples_fill_a_gap_and_the_first_live_sample_ends_it(watched: Watched) -> None:
    watched.sample(1)
    watched.gaps.interrupt("strap", "link_lost")
    for _ in range(3):
        stored(watched, 8)
    assert watched.events == []
    watched.sample(9)
    [gap] = watched.reported()
    assert (gap["first"], gap["last"], gap["filled"]) == (at(1), at(9), 3)
    watched.gaps.interrupt("strap", "link_lost")
    watched.sample(20)
    assert "filled" not in watched.reported()[1]


def test_stored_samples_fill_the_gap_of_a_stop(watched: Watched) -> None:
    watched.gaps.resume([previous(clean=True, ends={STRAP: end(40, -30)})])
    stored(watched, 1)
    watched.sample(2)
    [gap] = watched.reported()
    assert (gap["reason"], gap["last"], gap["filled"]) == ("stopped", at(2), 1)


def test_stored_samples_do_not_fill_a_later_gap(watched: Watched) -> None:
    stored(watched, 1)
    watched.sample(2)
    watched.gaps.interrupt("strap", "link_lost")
    watched.sample(9)
    assert ["filled" in gap for gap in watched.reported()] == [False]


# Within a run


def test_an_uninterrupted_stream_has_no_gap_however_long_it_pauses(watched: Watched) -> None:
    for second in (0, 1, 500):
        watched.sample(second)
    assert watched.events == []


@pytest.mark.parametrize("reason", ["link_lost", "stalled"])
def test_a_gap_is_from_the_last_sample_before_to_the_first_one_after(
    watched: Watched, reason: str
) -> None:
    watched.sample(1)
    watched.sample(2)
    watched.gaps.interrupt("strap", reason)
    assert watched.events == []  # its end is not known yet
    watched.sample(9)
    watched.sample(10)
    assert watched.reported() == [
        {
            "peripheral": "strap",
            "stream": "beat",
            "reason": reason,
            "first": at(2),
            "last": at(9),
            "run": watched.run.id,
        }
    ]


def test_between_two_results_nothing_is_missing(watched: Watched) -> None:
    """A scale disconnects after each weighing; its other streams may have a gap."""
    for second in (1, 9):
        watched.sample(second, "scale", "weighing", Weighing())
        watched.sample(second, "scale")
        watched.gaps.interrupt("scale", "link_lost")
    assert [gap["stream"] for gap in watched.reported()] == ["beat"]


def test_the_first_reason_explains_the_gap(watched: Watched) -> None:
    watched.sample(1)
    for reason in ("stalled", "not_found", "link_lost"):
        watched.gaps.interrupt("strap", reason)
    watched.sample(9)
    # A new gap has a new reason.
    watched.gaps.interrupt("strap", "adapter_gone")
    watched.sample(20)
    gaps = [(gap["reason"], gap["first"], gap["last"]) for gap in watched.reported()]
    assert gaps == [("stalled", at(1), at(9)), ("adapter_gone", at(9), at(20))]


def test_each_stream_of_the_peripheral_has_its_own_gap_and_others_have_none(
    watched: Watched,
) -> None:
    watched.sample(1)
    watched.sample(2, stream="power")
    watched.sample(3, "scale")
    watched.gaps.interrupt("strap", "link_lost")
    watched.sample(4, "scale")
    watched.sample(7, stream="power")
    watched.sample(8)
    gaps = [(g["peripheral"], g["stream"], g["first"], g["last"]) for g in watched.reported()]
    assert gaps == [("strap", "power", at(2), at(7)), ("strap", "beat", at(1), at(8))]


def test_a_stream_without_a_sample_has_no_gap(watched: Watched) -> None:
    watched.gaps.interrupt("strap", "not_found")
    watched.sample(5)
    assert watched.events == []


def test_the_event_is_a_sample_of_the_gateway(watched: Watched) -> None:
    watched.sample(1)
    watched.gaps.interrupt("strap", "link_lost")
    watched.sample(2)
    (event,) = watched.events
    assert (event.peripheral, event.stream, event.seq) == ("", "event/gap", 1)
    assert event.run == watched.run.id


# Across runs


def test_a_first_start_has_no_gap(watched: Watched) -> None:
    watched.gaps.resume([])
    watched.sample(1)
    watched.sample(2)
    assert watched.events == []


def test_after_a_clean_stop_the_gap_is_from_the_end_to_the_first_sample(watched: Watched) -> None:
    watched.gaps.resume([previous(clean=True, ends={STRAP: end(40, -30)})])
    watched.sample(1)
    watched.sample(2)
    assert watched.reported() == [
        {
            "peripheral": "strap",
            "stream": "beat",
            "reason": "stopped",
            "first": at(-30),
            "last": at(1),
            "run": "before",
        }
    ]


def test_after_a_clean_stop_only_streams_that_had_samples_have_a_gap(watched: Watched) -> None:
    watched.gaps.resume([previous(clean=True, ends={SCALE: end(40, -30)})])
    watched.sample(1)
    assert watched.events == []
    watched.sample(2, "scale")
    assert [gap["peripheral"] for gap in watched.reported()] == ["scale"]


@pytest.mark.parametrize(("clean", "gaps"), [(True, []), (False, ["unclean_stop"])])
def test_only_an_unclean_stop_can_lose_a_result(
    watched: Watched, clean: bool, gaps: list[str]
) -> None:
    stream = ("scale", "weighing")
    watched.gaps.resume([previous(clean=clean, ends={stream: end(40, -30)})])
    watched.sample(1, *stream, Weighing())
    assert [gap["reason"] for gap in watched.reported()] == gaps


def test_after_an_unclean_stop_the_gap_names_the_first_number_in_doubt(watched: Watched) -> None:
    watched.gaps.resume([previous(clean=False, ends={STRAP: end(40, -30)})])
    watched.sample(1)
    watched.sample(2)
    assert watched.reported() == [
        {
            "peripheral": "strap",
            "stream": "beat",
            "reason": "unclean_stop",
            "first": at(-30),
            "last": at(1),
            "run": "before",
            "first_seq": 41,
        }
    ]


def test_after_a_power_cut_nothing_is_certain_since_the_run_began(watched: Watched) -> None:
    watched.gaps.resume([previous(clean=False, ends={})])
    watched.sample(1)
    watched.sample(2)
    assert watched.reported() == [
        {
            "peripheral": "strap",
            "stream": "beat",
            "reason": "unclean_stop",
            "first": at(-100),
            "last": at(1),
            "run": "before",
        }
    ]


def test_two_crashes_in_a_row_are_two_gaps_of_a_stream_that_was_absent_between_them(
    watched: Watched,
) -> None:
    first = previous(clean=False, ends={STRAP: end(40, -30), SCALE: end(9, -31)}, run="first")
    second = previous(clean=False, ends={SCALE: end(3, -5)}, run="second", began_s=-20)
    watched.gaps.resume([first, second])
    watched.sample(1)
    watched.sample(2, "scale")
    gaps = [(g["peripheral"], g["run"], g["first"], g.get("first_seq")) for g in watched.reported()]
    assert gaps == [
        ("strap", "first", at(-30), 41),
        ("strap", "second", at(-20), None),
        # Its first sample of the second run already reported the gap of the first run.
        ("scale", "second", at(-5), 4),
    ]


def test_after_a_stop_and_a_crash_both_are_reported(watched: Watched) -> None:
    stopped = previous(clean=True, ends={STRAP: end(40, -30)}, run="first")
    crashed = previous(clean=False, ends={}, run="second", began_s=-20)
    watched.gaps.resume([stopped, crashed])
    watched.sample(1)
    gaps = [(gap["reason"], gap["run"], gap["first"]) for gap in watched.reported()]
    assert gaps == [("stopped", "first", at(-30)), ("unclean_stop", "second", at(-20))]


def test_a_new_stream_has_no_gaps_from_long_before_it(watched: Watched) -> None:
    old = previous(clean=False, ends={SCALE: end(9, -50)}, run="old")
    newer = previous(clean=False, ends={SCALE: end(9, -31)}, run="newer", began_s=-40)
    newest = previous(clean=False, ends={}, run="newest", began_s=-20)
    watched.gaps.resume([old, newer, newest])
    watched.sample(1)
    assert [gap["run"] for gap in watched.reported()] == ["newer", "newest"]


def test_a_stop_and_a_lost_link_before_any_sample_are_one_gap(watched: Watched) -> None:
    watched.gaps.resume([previous(clean=True, ends={STRAP: end(40, -30)})])
    watched.gaps.interrupt("strap", "not_found")
    watched.sample(5)
    watched.sample(6)
    assert [(gap["reason"], gap["first"]) for gap in watched.reported()] == [("stopped", at(-30))]


def test_a_periodic_peripheral_has_no_gaps_between_its_runs(tmp_path: Path) -> None:
    watched = Watched(Run(Clock(tmp_path / "no-timesyncd"), {}), periodic=["scale"])
    watched.gaps.resume([previous(clean=True, ends={STRAP: end(3, -9), SCALE: end(5, -9)})])
    for peripheral in ("strap", "scale"):
        watched.sample(1, peripheral)
        watched.gaps.interrupt(peripheral, "link_lost")
        watched.sample(9, peripheral)
    assert {gap["peripheral"] for gap in watched.reported()} == {"strap"}
    assert [gap["reason"] for gap in watched.reported()] == ["stopped", "link_lost"]


def test_a_periodic_peripheral_may_have_lost_samples_by_a_kill(tmp_path: Path) -> None:
    watched = Watched(Run(Clock(tmp_path / "no-timesyncd"), {}), periodic=["scale"])
    watched.gaps.resume([previous(clean=False, ends={SCALE: end(5, -9)})])
    watched.sample(1, "scale")
    (gap,) = watched.reported()
    assert (gap["reason"], gap["first_seq"]) == ("unclean_stop", 6)


def test_a_change_of_settings_leaves_a_gap(watched: Watched) -> None:
    watched.gaps.add("strap", periodic=False)
    watched.sample(1)
    watched.gaps.interrupt("strap", "stopped")
    watched.gaps.add("strap", periodic=False)
    watched.sample(5)
    assert watched.reported() == [
        {
            "peripheral": "strap",
            "stream": "beat",
            "reason": "stopped",
            "first": at(1),
            "last": at(5),
            "run": watched.run.id,
        }
    ]


@pytest.mark.parametrize("periodic_first", [True, False])
def test_a_change_to_or_from_periodic_leaves_no_gap(watched: Watched, periodic_first: bool) -> None:
    watched.gaps.add("strap", periodic=periodic_first)
    watched.sample(1)
    watched.gaps.interrupt("strap", "stopped")
    watched.gaps.add("strap", periodic=not periodic_first)
    watched.sample(500)
    assert watched.reported() == []
    watched.gaps.interrupt("strap", "link_lost")
    watched.sample(505)
    assert [gap["reason"] for gap in watched.reported()] == ["link_lost"] * periodic_first
