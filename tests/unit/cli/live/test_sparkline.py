"""Numbers as small bars."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from healthd.cli.live.sparkline import condensed, sparkline


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([70], "▄"),
        ([70, 70, 70], "▄▄▄"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([60.0, 180.0, 60.0], "▁█▁"),
        ([-7, 0], "▁█"),
    ],
)
def test_each_value_has_a_bar(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32)))
def test_any_values_can_be_drawn(values: list[float]) -> None:
    assert len(sparkline(values)) == len(values)


def test_few_values_are_unchanged() -> None:
    assert condensed([1, 2, 3], 3) == [1, 2, 3]
    assert condensed([], 3) == []


def test_a_narrow_peak_is_kept() -> None:
    frame = [1.0] * 73
    frame[31] = 900.0
    found = condensed(frame, 12)
    assert len(found) == 12
    assert sorted(found)[-2:] == [1.0, 900.0]


@given(st.lists(st.integers(-1000, 1000), min_size=1), st.integers(1, 30))
def test_a_frame_fits_the_width(values: list[float], width: int) -> None:
    found = condensed(values, width)
    assert len(found) == min(width, len(values))
    assert set(found) <= set(values)


@example([1e308, -1e308], 1)
@example([5e-324, 0.0], 1)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20), st.integers(1, 9))
def test_numbers_of_any_size_can_be_drawn(values: list[float], width: int) -> None:
    assert len(sparkline(values)) == len(values)
    assert len(condensed(values, width)) == min(len(values), width)
