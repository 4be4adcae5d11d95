"""Hours, their values, and which of them may be imported."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from healthd.backfill.hours import (
    Aggregate,
    Values,
    equal,
    hour_of,
    is_settled,
    latest_settled,
    utc_text,
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_an_hour_is_one_of_utc_even_in_a_zone_of_half_hours() -> None:
    # 10:10 in India (+05:30) is 04:40 UTC. Home Assistant would store 10:00+05:30 at half past.
    india = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2026, 11, 30, 10, 10, tzinfo=india).timestamp()
    assert hour_of(moment) == at("2026-11-30T04:00:00Z")
    assert utc_text(hour_of(moment)) == "2026-11-30T04:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-30T09:00:00Z", "2026-11-30T09:00:00Z"),
        ("2026-11-30T09:59:59.999999Z", "2026-11-30T09:00:00Z"),
        ("1969-12-31T23:30:00Z", "1969-12-31T23:00:00Z"),
    ],
)
def test_the_hour_of_a_time(text: str, hour: str) -> None:
    assert hour_of(at(text)) == at(hour)


# Home Assistant loses the hour of all sensors if it is imported before it was compiled: that takes
# until 5 min 15 s after the end of the hour.
@pytest.mark.parametrize(
    ("now", "settled"),
    [
        ("2026-11-30T08:59:59Z", False),
        ("2026-11-30T09:30:00Z", False),
        ("2026-11-30T10:00:00Z", False),
        ("2026-11-30T10:05:14Z", False),
        ("2026-11-30T10:05:15Z", True),
    ],
)
def test_an_hour_may_be_imported_5_min_15_s_after_its_end(now: str, settled: bool) -> None:
    nine = hour_of(at("2026-11-30T09:00:00Z"))
    assert is_settled(nine, at(now)) is settled
    assert (latest_settled(at(now)) >= nine) is settled


def test_mean_least_and_most() -> None:
    assert Aggregate(4, 290.0, 60.0, 90.0).values() == Values(72.5, 60.0, 90.0)


def test_a_mean_is_never_outside_of_its_values() -> None:
    # The sum of three times 0.1 is 0.30000000000000004.
    total = 0.1 + 0.1 + 0.1
    assert total / 3 > 0.1
    assert Aggregate(3, total, 0.1, 0.1).values() == Values(0.1, 0.1, 0.1)


def test_values_are_equal_apart_from_rounding() -> None:
    assert equal(Values(72.5, 60.0, 90.0), Values(72.500000001, 60.0, 90.0))
    assert not equal(Values(72.5, 60.0, 90.0), Values(72.6, 60.0, 90.0))
    assert not equal(Values(72.5, 60.0, 90.0), Values(72.5, None, None))
    assert equal(Values(None, None, None), Values(None, None, None))


def test_hours_are_written_in_utc() -> None:
    moment = datetime(2026, 11, 30, 9, tzinfo=UTC)
    assert datetime.fromisoformat(utc_text(int(moment.timestamp()))) == moment
