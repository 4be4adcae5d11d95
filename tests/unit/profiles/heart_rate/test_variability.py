"""Heart-rate variability: which intervals count, and when it is published."""

import statistics
from itertools import pairwise
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.heart_rate.variability import Variability
from healthd.profiles.link_state import Timed

SECOND_NS = 1_000_000_000
STEADY = [800.0, 820.0, 790.0, 810.0, 805.0, 795.0]


def result(*parts: list[float]) -> dict[str, Any]:
    """Return the result of one window; intervals are missing between the parts."""
    variability = Variability(60)
    assert variability.until(0) is None
    for part in parts:
        variability.add(part, follows=False)
    variability.add([], follows=False)  # all intervals are judged
    ended = variability.until(60 * SECOND_NS)
    assert ended is not None
    return ended.measurement.fields()


def rmssd(*parts: list[float]) -> float:
    squares = [(b - a) ** 2 for part in parts for a, b in pairwise(part)]
    return round(sqrt(sum(squares) / len(squares)), 2)


def test_matches_the_definitions() -> None:
    assert result([800.0, 810.0, 790.0]) == {
        "rmssd_ms": 15.81,  # sqrt((10² + 20²) / 2)
        "sdnn_ms": 10.0,  # sqrt((0² + 10² + 10²) / 2)
        "beats": 3,
        "rejected_beats": 0,
        "window_s": 60,
    }


@given(st.lists(st.floats(780, 860), min_size=2, max_size=300))
def test_matches_the_statistics_module(intervals: list[float]) -> None:
    found = result(intervals)
    assert found["beats"] == len(intervals)
    assert found["sdnn_ms"] == pytest.approx(statistics.stdev(intervals), abs=0.006)
    assert found["rmssd_ms"] == pytest.approx(rmssd(intervals), abs=0.011)


@pytest.mark.parametrize(
    ("before", "wrong", "after"),
    [
        (STEADY, [500.0], STEADY),  # an early beat
        (STEADY, [500.0, 1100.0], STEADY),  # an early beat and the pause after it
        (STEADY, [1600.0], STEADY),  # a missed beat
        (STEADY, [299.0], STEADY),
        (STEADY, [2001.0], STEADY),
        (STEADY, [0.0], STEADY),
        (STEADY, [63_999.0], STEADY),
        ([], [500.0], STEADY),  # the first interval
        (STEADY, [500.0], []),  # the last interval
    ],
)
def test_wrong_intervals_are_rejected_and_no_difference_spans_them(
    before: list[float], wrong: list[float], after: list[float]
) -> None:
    found = result(before + wrong + after)
    assert (found["beats"], found["rejected_beats"]) == (len(before + after), len(wrong))
    assert found["rmssd_ms"] == rmssd(before, after)
    assert found["sdnn_ms"] == round(statistics.stdev(before + after), 2)


@pytest.mark.parametrize("edge", [300.0, 2000.0])
def test_the_ends_of_the_range_count(edge: float) -> None:
    assert result([edge] * 5)["beats"] == 5


def test_a_changing_heart_rate_is_followed() -> None:
    found = result([1000.0] * 10 + [600.0] * 10)
    assert (found["beats"], found["rejected_beats"]) == (20, 0)


@pytest.mark.parametrize(("interval", "counts"), [(960.0, True), (961.0, False)])
def test_an_interval_20_percent_off_the_median_still_counts(interval: float, counts: bool) -> None:
    found = result([800.0, 800.0, interval, 800.0, 800.0])
    assert (found["rejected_beats"] == 0) is counts


def test_no_difference_spans_missing_intervals() -> None:
    found = result([800.0, 810.0], [900.0, 905.0])
    assert (found["beats"], found["rejected_beats"]) == (4, 0)
    assert found["rmssd_ms"] == rmssd([800.0, 810.0], [900.0, 905.0])


def test_consecutive_packets_are_not_a_break() -> None:
    variability = Variability(60)
    variability.until(0)
    for interval in STEADY:
        variability.add([interval], follows=True)
    variability.add([], follows=False)
    ended = variability.until(60 * SECOND_NS)
    assert ended is not None
    assert ended.measurement.fields()["rmssd_ms"] == rmssd(STEADY)


def test_too_few_beats_have_no_variability() -> None:
    found = result([800.0])
    assert (found["rmssd_ms"], found["sdnn_ms"], found["beats"]) == (None, None, 1)
    found = result([100.0])
    assert (found["rmssd_ms"], found["sdnn_ms"], found["beats"]) == (None, None, 0)
    assert found["rejected_beats"] == 1


def test_windows_keep_their_rhythm_and_have_the_time_of_their_end() -> None:
    variability, ended = Variability(60), list[Timed]()
    for second in range(0, 302, 7):
        if window := variability.until(second * SECOND_NS):
            ended.append(window)
        variability.add([700.0] * 10, follows=True)
    assert [window.mono_ns // SECOND_NS for window in ended] == [60, 120, 180, 240, 300]
    # The last two beats are judged later: they count in the next window.
    assert [window.measurement.fields()["beats"] for window in ended] == [88, 90, 80, 90, 80]


def test_windows_in_which_nothing_arrived_are_skipped() -> None:
    variability = Variability(60)
    variability.until(0)
    variability.add([800.0] * 10, follows=False)
    late = variability.until(400 * SECOND_NS)
    assert late is not None
    assert late.mono_ns == 60 * SECOND_NS
    variability.add([], follows=False)
    variability.until(420 * SECOND_NS)
    assert variability.until(479 * SECOND_NS) is None
    assert variability.until(480 * SECOND_NS) is None  # nothing arrived in it
    assert variability.until(541 * SECOND_NS) is None
