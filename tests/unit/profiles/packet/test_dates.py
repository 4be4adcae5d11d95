"""Dates as one text. The form is that of ISO 8601-2: ``X`` for the digits of what is not known."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.packet.dates import date_text, day_text
from healthd.samples import whole_time

Parts = tuple[int, int, int, int, int, int]

a_byte = st.integers(0, 0xFF)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((2020, 3, 14, 23, 23, 0), "2020-03-14T23:23:00"),
        ((1027, 5, 6, 7, 8, 9), "1027-05-06T07:08:09"),
        # 0 is "not known" for year, month and day (GATT Specification Supplement, Date Time).
        ((0, 4, 17, 20, 41, 59), "XXXX-04-17T20:41:59"),
        ((2026, 11, 0, 0, 0, 0), "2026-11-XXT00:00:00"),
        ((0, 0, 0, 7, 30, 0), "XXXX-XX-XXT07:30:00"),
        ((0, 0, 0, 0, 0, 0), None),
        # Dates that do not exist; the first was sent by a Xiaomi scale.
        ((7425, 17, 53, 1, 0, 0), "7425-XX-XXT01:00:00"),
        ((2023, 2, 29, 12, 0, 0), "2023-02-XXT12:00:00"),
        ((2026, 4, 31, 24, 60, 61), "2026-04-XXTXX:XX:XX"),
        # Without the year, this day may exist.
        ((0, 2, 29, 12, 0, 0), "XXXX-02-29T12:00:00"),
        ((65535, 255, 255, 255, 255, 255), None),
    ],
)
def test_a_date_is_one_text_that_keeps_what_is_known(parts: Parts, text: str | None) -> None:
    assert date_text(parts) == text


@given(parts=st.tuples(st.integers(0, 0xFFFF), a_byte, a_byte, a_byte, a_byte, a_byte))
def test_any_parts(parts: Parts) -> None:
    text = date_text(parts)
    try:
        expected = datetime(*parts)  # noqa: DTZ001 - devices have no time zone
    except ValueError:
        expected = None
    assert whole_time(text) == expected
    if text is not None and expected is None:
        with pytest.raises(ValueError, match="X"):
            datetime.fromisoformat(text)


def test_a_day_without_a_time() -> None:
    assert day_text(1989, 10, 31) == "1989-10-31"
    assert day_text(1989, 0, 0) == "1989-XX-XX"
    assert day_text(0, 0, 0) is None
