"""Columns that fit the terminal."""

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
def test_the_most_important_columns_come_first(width: int, headings: set[str]) -> None:
    widths = fit(STRAPS, width)
    assert widths.keys() == headings
    assert list(widths) == [heading for heading in HEADINGS if heading in widths]
    assert total(widths) <= width


def test_the_remaining_width_is_used() -> None:
    widths = fit(STRAPS, 180)
    assert (widths["newest"], widths["gaps"]) == (48, 11)
    assert total(widths) == 180
    assert fit(STRAPS, 400) == STRAPS


def test_names_are_cut_to_make_room_for_rate_and_trend() -> None:
    long = STRAPS | {"peripheral": 19, "stream": 24}
    widths = fit(long, 80)
    assert widths.keys() >= {"rate", "trend"}
    assert (widths["peripheral"], widths["stream"]) == (15, 13)


def test_several_gateways_are_shown_at_any_width() -> None:
    assert "gateway" in fit(STRAPS | {"gateway": 11}, 60)


@given(
    wanted=st.fixed_dictionaries(
        {heading: st.integers(6, 90) for heading in ALWAYS - {"gateway"}},
        optional={heading: st.integers(5, 90) for heading in set(HEADINGS) - ALWAYS},
    ),
    width=st.integers(68, 300),
)
def test_all_columns_fit_and_none_is_wider_than_needed(wanted: dict[str, int], width: int) -> None:
    widths = fit(wanted, width)
    assert all(0 < size <= wanted[heading] for heading, size in widths.items())
    assert wanted["age"] > 6 or total(widths) <= width
