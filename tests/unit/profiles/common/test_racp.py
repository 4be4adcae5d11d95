"""Requests for stored records: the bytes that are written, and how they are decoded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.common.racp import (
    abort,
    by_number,
    by_session_time,
    decode_record_access,
    report_records,
)


@pytest.mark.parametrize(
    ("written", "packet", "expected"),
    [
        (report_records(), "0101", {"name": "report_stored_records", "operator": "all"}),
        (abort(), "0300", {"name": "abort_operation", "operator": "null"}),
        (
            report_records(by_number(minimum=258)),
            "0103010201",
            {"operator": "greater_than_or_equal", "filter_type": 1, "minimum": 258},
        ),
        (
            report_records(by_session_time(minimum_s=359.9)),
            "0103010500",
            {"operator": "greater_than_or_equal", "filter_type": 1, "minimum": 5},
        ),
        (
            report_records(by_session_time(minimum_s=3_932_100)),
            "010301ffff",
            {"operator": "greater_than_or_equal", "filter_type": 1, "minimum": 65535},
        ),
    ],
)
def test_request(written: bytes, packet: str, expected: dict[str, Any]) -> None:
    assert written.hex() == packet
    fields = decode_record_access(written).fields()
    assert expected.items() <= fields.items()
    assert not fields.keys() & {"truncated", "trailing_bytes"}


@given(number=st.integers(0, 0xFFFF))
def test_any_number_is_decoded_as_it_was_written(number: int) -> None:
    assert decode_record_access(report_records(by_number(minimum=number))).minimum == number


@pytest.mark.parametrize("number", [-1, 0x10000])
def test_number_out_of_range(number: int) -> None:
    with pytest.raises(ValueError, match=f"minimum: expected 0 to 65535, found {number}"):
        by_number(minimum=number)


@pytest.mark.parametrize("seconds", [-1, 3_932_101, float("nan")])
def test_session_time_out_of_range(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"minimum_s: expected 0 to 3932100, found {seconds}"):
        by_session_time(minimum_s=seconds)
