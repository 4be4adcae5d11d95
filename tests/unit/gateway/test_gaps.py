"""Which stretches of a stream are missing: from the last sample before to the first one after."""

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
    """The gaps of one run, and the events that they give."""

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
        """A sample of this second passes by."""
        stamp = Stamp(START_NS + at_s * SECOND_NS, at_s * SECOND_NS, "synced")
        sample = self.run.sample(peripheral, stream, measurement or Beat(), stamp)
        self.gaps.pass_by(sample)
        return sample

    def told(self) -> list[dict[str, Any]]:
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


# What a device has stored


def stored(watched: Watched, second: int) -> None:
    stamp = Stamp(START_NS + second * SECOND_NS, second * SECOND_NS, "synced")
    watched.gaps.pass_by(watched.run.sample("strap", "beat", Beat(), stamp, stored=True))


def test_what_was_stored_fills_a_gap_that_the_first_live_sample_ends(watched: Watched) -> None:
    watched.sample(1)
    watched.gaps.interrupt("strap", "link_lost")
    for _ in range(3):
        stored(watched, 8)
    assert watched.events == []
    watched.sample(9)
    [gap] = watched.told()
    assert (gap["first"], gap["last"], gap["filled"]) == (at(1), at(9), 3)
    watched.gaps.interrupt("strap", "link_lost")
    watched.sample(20)
    assert "filled" not in watched.told()[1]


def test_what_was_stored_fills_the_gap_of_a_stop(watched: Watched) -> None:
    watched.gaps.inherit([previous(clean=True, ends={STRAP: end(40, -30)})])
    stored(watched, 1)
    watched.sample(2)
    [gap] = watched.told()
    assert (gap["reason"], gap["last"], gap["filled"]) == ("stopped", at(2), 1)


def test_what_was_stored_fills_no_later_gap(watched: Watched) -> None:
    stored(watched, 1)
    watched.sample(2)
    watched.gaps.interrupt("strap", "link_lost")
    watched.sample(9)
    assert ["filled" in gap for gap in watched.told()] == [False]


# Within a run


def test_a_stream_that_flows_has_no_gap_however_long_it_takes(watched: Watched) -> None:
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
    assert watched.events == []  # nobody knows its end yet
    watched.sample(9)
    watched.sample(10)
    assert watched.told() == [
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
    """A scale hangs up behind each weighing; what it streams beside it may have a gap."""
    for second in (1, 9):
        watched.sample(second, "scale", "weighing", Weighing())
        watched.sample(second, "scale")
        watched.gaps.interrupt("scale", "link_lost")
    assert [told["stream"] for told in watched.told()] == ["beat"]


def test_the_first_reason_explains_the_gap(watched: Watched) -> None:
    watched.sample(1)
    for reason in ("stalled", "not_found", "link_lost"):
        watched.gaps.interrupt("strap", reason)
    watched.sample(9)
    # Another gap has reasons of its own.
    watched.gaps.interrupt("strap", "adapter_gone")
    watched.sample(20)
    told = [(gap["reason"], gap["first"], gap["last"]) for gap in watched.told()]
    assert told == [("stalled", at(1), at(9)), ("adapter_gone", at(9), at(20))]


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
    told = [(g["peripheral"], g["stream"], g["first"], g["last"]) for g in watched.told()]
    assert told == [("strap", "power", at(2), at(7)), ("strap", "beat", at(1), at(8))]


def test_a_stream_without_a_sample_has_no_gap(watched: Watched) -> None:
    watched.gaps.interrupt("strap", "not_found")
    watched.sample(5)
    assert watched.events == []


def test_the_event_is_the_gateways_own_sample(watched: Watched) -> None:
    watched.sample(1)
    watched.gaps.interrupt("strap", "link_lost")
    watched.sample(2)
    (event,) = watched.events
    assert (event.peripheral, event.stream, event.seq) == ("", "event/gap", 1)
    assert event.run == watched.run.id


# Across runs


def test_a_first_start_has_no_gap(watched: Watched) -> None:
    watched.gaps.inherit([])
    watched.sample(1)
    watched.sample(2)
    assert watched.events == []


def test_after_a_clean_stop_the_gap_is_from_the_end_to_the_first_sample(watched: Watched) -> None:
    watched.gaps.inherit([previous(clean=True, ends={STRAP: end(40, -30)})])
    watched.sample(1)
    watched.sample(2)
    assert watched.told() == [
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
    watched.gaps.inherit([previous(clean=True, ends={SCALE: end(40, -30)})])
    watched.sample(1)
    assert watched.events == []
    watched.sample(2, "scale")
    assert [gap["peripheral"] for gap in watched.told()] == ["scale"]


@pytest.mark.parametrize(("clean", "told"), [(True, []), (False, ["unclean_stop"])])
def test_only_a_kill_can_have_taken_a_result(
    watched: Watched, clean: bool, told: list[str]
) -> None:
    stream = ("scale", "weighing")
    watched.gaps.inherit([previous(clean=clean, ends={stream: end(40, -30)})])
    watched.sample(1, *stream, Weighing())
    assert [gap["reason"] for gap in watched.told()] == told


def test_after_an_unclean_stop_the_gap_names_the_first_number_in_doubt(watched: Watched) -> None:
    watched.gaps.inherit([previous(clean=False, ends={STRAP: end(40, -30)})])
    watched.sample(1)
    watched.sample(2)
    assert watched.told() == [
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
    watched.gaps.inherit([previous(clean=False, ends={})])
    watched.sample(1)
    watched.sample(2)
    assert watched.told() == [
        {
            "peripheral": "strap",
            "stream": "beat",
            "reason": "unclean_stop",
            "first": at(-100),
            "last": at(1),
            "run": "before",
        }
    ]


def test_two_crashes_in_a_row_are_two_gaps_of_a_stream_that_had_not_come_back(
    watched: Watched,
) -> None:
    first = previous(clean=False, ends={STRAP: end(40, -30), SCALE: end(9, -31)}, run="first")
    second = previous(clean=False, ends={SCALE: end(3, -5)}, run="second", began_s=-20)
    watched.gaps.inherit([first, second])
    watched.sample(1)
    watched.sample(2, "scale")
    told = [(g["peripheral"], g["run"], g["first"], g.get("first_seq")) for g in watched.told()]
    assert told == [
        ("strap", "first", at(-30), 41),
        ("strap", "second", at(-20), None),
        # Its first sample of the second run came with what the first one lacks.
        ("scale", "second", at(-5), 4),
    ]


def test_a_crash_after_a_clean_stop_leaves_the_stop_to_be_told(watched: Watched) -> None:
    stopped = previous(clean=True, ends={STRAP: end(40, -30)}, run="first")
    crashed = previous(clean=False, ends={}, run="second", began_s=-20)
    watched.gaps.inherit([stopped, crashed])
    watched.sample(1)
    told = [(gap["reason"], gap["run"], gap["first"]) for gap in watched.told()]
    assert told == [("stopped", "first", at(-30)), ("unclean_stop", "second", at(-20))]


def test_a_new_stream_has_no_part_in_what_happened_long_before_it(watched: Watched) -> None:
    old = previous(clean=False, ends={SCALE: end(9, -50)}, run="old")
    newer = previous(clean=False, ends={SCALE: end(9, -31)}, run="newer", began_s=-40)
    newest = previous(clean=False, ends={}, run="newest", began_s=-20)
    watched.gaps.inherit([old, newer, newest])
    watched.sample(1)
    assert [gap["run"] for gap in watched.told()] == ["newer", "newest"]


def test_a_stop_and_a_link_that_is_lost_before_any_sample_are_one_gap(watched: Watched) -> None:
    watched.gaps.inherit([previous(clean=True, ends={STRAP: end(40, -30)})])
    watched.gaps.interrupt("strap", "not_found")
    watched.sample(5)
    watched.sample(6)
    assert [(gap["reason"], gap["first"]) for gap in watched.told()] == [("stopped", at(-30))]


def test_what_a_periodic_peripheral_does_not_send_is_not_missing(tmp_path: Path) -> None:
    watched = Watched(Run(Clock(tmp_path / "no-timesyncd"), {}), periodic=["scale"])
    watched.gaps.inherit([previous(clean=True, ends={STRAP: end(3, -9), SCALE: end(5, -9)})])
    for peripheral in ("strap", "scale"):
        watched.sample(1, peripheral)
        watched.gaps.interrupt(peripheral, "link_lost")
        watched.sample(9, peripheral)
    assert {one["peripheral"] for one in watched.told()} == {"strap"}
    assert [one["reason"] for one in watched.told()] == ["stopped", "link_lost"]


def test_what_a_periodic_peripheral_sent_before_a_kill_may_be_missing(tmp_path: Path) -> None:
    watched = Watched(Run(Clock(tmp_path / "no-timesyncd"), {}), periodic=["scale"])
    watched.gaps.inherit([previous(clean=False, ends={SCALE: end(5, -9)})])
    watched.sample(1, "scale")
    (gap,) = watched.told()
    assert (gap["reason"], gap["first_seq"]) == ("unclean_stop", 6)


def test_one_whose_settings_change_lacks_what_it_did_not_send_meanwhile(watched: Watched) -> None:
    watched.gaps.add("strap", periodic=False)
    watched.sample(1)
    watched.gaps.interrupt("strap", "stopped")
    watched.gaps.add("strap", periodic=False)
    watched.sample(5)
    assert watched.told() == [
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
def test_one_that_becomes_periodic_or_was_lacks_nothing_in_between(
    watched: Watched, periodic_first: bool
) -> None:
    watched.gaps.add("strap", periodic=periodic_first)
    watched.sample(1)
    watched.gaps.interrupt("strap", "stopped")
    watched.gaps.add("strap", periodic=not periodic_first)
    watched.sample(500)
    assert watched.told() == []
    watched.gaps.interrupt("strap", "link_lost")
    watched.sample(505)
    assert [gap["reason"] for gap in watched.told()] == ["link_lost"] * periodic_first
