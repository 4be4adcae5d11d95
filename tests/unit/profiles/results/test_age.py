"""Which result is the newest, by clocks that may be wrong."""

from datetime import datetime, timedelta

import pytest

from healthd.profiles.results.age import Age, age_of, is_from_reset_clock, latest
from tests.unit.profiles.results.bench import NOW

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
KNOWN = NOW - DAY


@pytest.mark.parametrize(
    ("date", "age"),
    [
        (None, Age.UNDATED),
        (NOW.replace(year=1970), Age.UNDATED),
        (NOW.replace(year=2011), Age.UNDATED),
        (NOW + 28 * HOUR, Age.UNDATED),
        (NOW + 26 * HOUR, Age.NEWEST),  # a device in another time zone
        (NOW, Age.NEWEST),
        (KNOWN, Age.NEWEST),
        (KNOWN - MINUTE, Age.OLDER),
        (NOW.replace(year=2012), Age.OLDER),
    ],
)
def test_the_age_of_a_result(date: datetime | None, age: Age) -> None:
    assert age_of(date, KNOWN, NOW) is age


@pytest.mark.parametrize("date", [NOW.replace(year=2012), KNOWN - MINUTE, NOW, NOW + DAY])
def test_the_first_dated_result_is_the_newest(date: datetime) -> None:
    assert age_of(date, None, NOW) is Age.NEWEST


@pytest.mark.parametrize(
    ("date", "age"),
    [
        (NOW - 2 * MINUTE, Age.NEWEST),
        (NOW + 9 * MINUTE, Age.NEWEST),
        (NOW - 11 * MINUTE, Age.OLDER),
    ],
)
def test_after_a_clock_was_set_back_what_is_measured_now_is_the_newest(
    date: datetime, age: Age
) -> None:
    assert age_of(date, NOW + HOUR, NOW) is age


def test_while_our_own_time_is_unknown_no_date_is_too_late() -> None:
    assert age_of(NOW.replace(year=2099), KNOWN, None) is Age.NEWEST
    assert age_of(NOW, NOW.replace(year=2099), None) is Age.OLDER
    assert latest(None) > NOW.replace(year=9999)


@pytest.mark.parametrize(
    ("date", "is_reset"),
    [
        (KNOWN - 100 * DAY, False),
        (KNOWN - 729 * DAY, False),
        (KNOWN - 731 * DAY, True),
        (None, False),
    ],
)
def test_a_date_of_years_ago_is_that_of_a_reset_clock(
    date: datetime | None, is_reset: bool
) -> None:
    assert is_from_reset_clock(date, KNOWN) is is_reset
