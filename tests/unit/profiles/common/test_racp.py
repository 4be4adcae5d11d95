from dataclasses import astuple
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.common.racp import (
    ALL,
    FIRST,
    LAST,
    abort,
    by_number,
    by_session_time,
    by_time,
    combined_report,
    count_records,
    decode_record_access,
    delete_records,
    report_records,
)

MARCH = datetime(2020, 3, 14, 23, 23, 0)  # noqa: DTZ001 - as the sensor's user sees it
APRIL = datetime(2020, 4, 1, 6, 5, 4, 999_999)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("request_", "packet", "says"),
    [
        (report_records(), "0101", {"name": "report_stored_records", "operator": "all"}),
        (report_records(FIRST), "0105", {"operator": "first"}),
        (report_records(LAST), "0106", {"operator": "last"}),
        (delete_records(ALL), "0201", {"name": "delete_stored_records", "operator": "all"}),
        (abort(), "0300", {"name": "abort_operation", "operator": "null"}),
        (count_records(), "0401", {"name": "report_number_of_stored_records"}),
        (combined_report(), "0701", {"name": "combined_report", "operator": "all"}),
        (
            report_records(by_number(minimum=258)),
            "0103010201",
            {"operator": "greater_than_or_equal", "filter_type": 1, "minimum": 258},
        ),
        (
            delete_records(by_number(maximum=0xFFFF)),
            "020201ffff",
            {"operator": "less_than_or_equal", "filter_type": 1, "maximum": 0xFFFF},
        ),
        (
            count_records(by_number(minimum=0, maximum=0)),
            "04040100000000",
            {"operator": "within_range", "filter_type": 1, "minimum": 0, "maximum": 0},
        ),
        (
            report_records(by_session_time(minimum_s=359.9)),
            "0103010500",
            {"operator": "greater_than_or_equal", "filter_type": 1, "minimum": 5},
        ),
        (
            report_records(by_session_time(minimum_s=60, maximum_s=3_932_100)),
            "0104010100ffff",
            {"operator": "within_range", "minimum": 1, "maximum": 65535},
        ),
        (
            report_records(by_time(minimum=MARCH)),
            "010302e407030e171700",
            {"operator": "greater_than_or_equal", "filter_type": 2},
        ),
        (
            combined_report(by_time(minimum=MARCH, maximum=APRIL)),
            "070402e407030e171700e4070401060504",
            {"operator": "within_range", "filter_type": 2},
        ),
    ],
)
def test_request(request_: bytes, packet: str, says: dict[str, Any]) -> None:
    assert request_.hex() == packet
    fields = decode_record_access(request_).fields()
    assert says.items() <= fields.items()
    assert not fields.keys() & {"truncated", "trailing_bytes"}


def test_times_come_back() -> None:
    found = decode_record_access(report_records(by_time(minimum=MARCH, maximum=APRIL)))
    assert found.minimum_timestamp is not None
    assert found.maximum_timestamp is not None
    assert datetime(*astuple(found.minimum_timestamp)) == MARCH  # noqa: DTZ001
    assert datetime(*astuple(found.maximum_timestamp)) == APRIL.replace(microsecond=0)  # noqa: DTZ001


@given(bounds=st.lists(st.integers(0, 0xFFFF), min_size=2, max_size=2).map(sorted))
def test_any_range_of_numbers_comes_back(bounds: list[int]) -> None:
    found = decode_record_access(report_records(by_number(minimum=bounds[0], maximum=bounds[1])))
    assert [found.minimum, found.maximum] == bounds


@pytest.mark.parametrize("number", [-1, 0x10000])
@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_number_out_of_range(name: str, number: int) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected 0 to 65535, found {number}"):
        by_number(**{name: number})


@pytest.mark.parametrize("seconds", [-1, 3_932_101, float("nan")])
@pytest.mark.parametrize("name", ["minimum_s", "maximum_s"])
def test_session_time_out_of_range(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected 0 to 3932100, found {seconds}"):
        by_session_time(**{name: seconds})


@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_time_before_the_calendar(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected a year from 1582 to 9999"):
        by_time(**{name: MARCH.replace(year=1581)})


def test_bounds_that_are_missing_or_swapped() -> None:
    for select in (by_number, by_session_time, by_time):
        with pytest.raises(ValueError, match="minimum: expected it, the maximum, or both"):
            select()
    with pytest.raises(ValueError, match="maximum: expected no less than the minimum"):
        by_number(minimum=2, maximum=1)
    with pytest.raises(ValueError, match="maximum: expected no less than the minimum"):
        by_time(minimum=APRIL, maximum=MARCH)
