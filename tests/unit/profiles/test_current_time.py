"""The ten bytes that set a device's clock."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.current_time import (
    AdjustReason,
    decode_current_time,
    encode_current_time,
    set_clock,
)
from healthd.profiles.options import Options

CET = timezone(timedelta(hours=1))
LEAP_DAY = "e807021d173b3b048001"


@pytest.mark.parametrize(
    ("when", "reasons", "text"),
    [
        (datetime(2024, 1, 7, 3, 4, 5, tzinfo=UTC), (), "e8070107030405070000"),
        # A Thursday; the time of day is used as it is, whatever the zone.
        (datetime(2024, 2, 29, 23, 59, 59, 500_000, tzinfo=CET), ("manual",), LEAP_DAY),
        (datetime(2024, 1, 8, tzinfo=UTC), ("external", "dst"), "e807010800000001000a"),
        (datetime(2024, 1, 9, tzinfo=UTC), ("time_zone",), "e8070109000000020004"),
        (datetime(1582, 1, 1, tzinfo=UTC), (), "2e060101000000050000"),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), (), "0f270c1f173b3b05ff00"),
    ],
)
def test_bytes(when: datetime, reasons: tuple[AdjustReason, ...], text: str) -> None:
    assert encode_current_time(when, adjust_reason=reasons).hex() == text


@given(
    when=st.datetimes(min_value=datetime(1582, 1, 1)),  # noqa: DTZ001 - any local time
    reasons=st.sets(st.sampled_from(get_args(AdjustReason))),
)
def test_the_written_time_is_decoded_again(when: datetime, reasons: set[Any]) -> None:
    read = decode_current_time(encode_current_time(when, adjust_reason=reasons))
    assert read.device_time == when.replace(microsecond=0).isoformat()
    assert read.day_of_week == when.isoweekday()
    assert read.fractions_s == pytest.approx(when.microsecond / 1e6, abs=1.25 / 256)
    assert set(read.adjust_reason or ()) == reasons
    assert read.fields().keys().isdisjoint({"truncated", "trailing_bytes"})


def test_a_year_before_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="when: expected a year from 1582 to 9999, found 1581"):
        encode_current_time(datetime(1581, 12, 31, tzinfo=UTC))


def test_an_unknown_reason_is_refused() -> None:
    wrong: Any = ("manual", "boredom")
    with pytest.raises(ValueError, match=r"adjust_reason: expected manual, .*, found boredom"):
        encode_current_time(datetime(2024, 1, 1, tzinfo=UTC), adjust_reason=wrong)


def test_a_clock_is_set_to_the_local_time() -> None:
    def now() -> datetime:
        return datetime(2024, 1, 8, 7, 50)  # noqa: DTZ001 - local time, without a zone

    written = [request.hex() for request in set_clock(Options(local_time=now))]
    assert written == ["e8070108073200010001"]


def test_a_clock_is_left_alone_if_the_time_is_not_known() -> None:
    assert list(set_clock(Options())) == []
