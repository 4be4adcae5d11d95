"""Columns that fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.cli.live.columns import ALWAYS, HEADINGS, SPACE, fit

# Two straps, one of which had a gap: "chest-strap", "streaming", "heart_rate", "1 link_lost".
STRAPS = {
    "peripheral": 11,
    "device": 12,
    "state": 9,
    "stream": 10,
    "newest": 48,
    "rate": 5,
    "age": 6,
    "trend": 60,
    "samples": 7,
    "gaps": 11,
}


def total(widths: dict[str, int]) -> int:
    return sum(widths.values()) + SPACE * (len(widths) - 1)


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (60, {*ALWAYS} - {"gateway"}),
        (80, {*ALWAYS, "rate", "trend", "gaps"} - {"gateway"}),
        (120, {*ALWAYS, "rate", "trend", "gaps", "device"} - {"gateway"}),
        (160, {*STRAPS}),
    ],
)
def test_what_matters_most_is_there_first(width: int, headings: set[str]) -> None:
    widths = fit(STRAPS, width)
    assert widths.keys() == headings
    assert list(widths) == [one for one in HEADINGS if one in widths]
    assert total(widths) <= width


def test_room_that_is_left_is_used() -> None:
    widths = fit(STRAPS, 180)
    assert (widths["newest"], widths["gaps"]) == (48, 11)
    assert total(widths) == 180
    assert fit(STRAPS, 400) == {one: STRAPS[one] for one in HEADINGS if one in STRAPS}


def test_names_are_cut_before_a_rate_and_a_trend_are_given_up() -> None:
    long = STRAPS | {"peripheral": 19, "stream": 24}
    widths = fit(long, 80)
    assert widths.keys() >= {"rate", "trend"}
    assert (widths["peripheral"], widths["stream"]) == (15, 13)


def test_gateways_are_told_apart_in_any_width() -> None:
    assert "gateway" in fit(STRAPS | {"gateway": 11}, 60)


@given(
    wanted=st.fixed_dictionaries(
        {heading: st.integers(6, 90) for heading in ALWAYS - {"gateway"}},
        optional={heading: st.integers(5, 90) for heading in set(HEADINGS) - ALWAYS},
    ),
    width=st.integers(68, 300),
)
def test_no_column_is_wider_than_it_wants_and_all_fit(wanted: dict[str, int], width: int) -> None:
    widths = fit(wanted, width)
    assert all(0 < size <= wanted[one] for one, size in widths.items())
    assert wanted["age"] > 6 or total(widths) <= width
