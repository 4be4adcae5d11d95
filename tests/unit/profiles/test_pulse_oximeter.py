"""Results that an oximeter has stored: all are sent, and their times show which are new."""

import pytest

from healthd.profiles.common.racp import decode_record_access
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.pulse_oximeter import (
    PulseOximeterState,
    decode_continuous,
    decode_spot_check,
    fetch_results,
)
from healthd.profiles.records import Records

ALL, DONE = b"\x01\x01", b"\x06\x00\x01\x01"


def result(minute: int, spo2_pct: int = 98) -> bytes:
    """Return a result of the afternoon of 14 March 2020."""
    return bytes([1, spo2_pct, 0, 72, 0, 0xE4, 0x07, 3, 14, 15, minute, 0])


def transfer(records: Records, *results: bytes) -> list[tuple[str, bool]]:
    """Return the times of the new results, and whether they were stored."""
    options = Options(records=records)
    state, exchange = PulseOximeterState(options), fetch_results(options)
    found: list[Timed] = []
    found += state.take(decode_record_access(next(exchange)), 0)
    for each in results:
        found += state.take(decode_spot_check(each), 1)
    found += state.take(decode_record_access(DONE), 2)
    new = [
        (timed.record.made, timed.stored)
        for timed in found
        if timed.record is not None and records.add_if_new(timed.measurement.kind, timed.record)
    ]
    with pytest.raises(StopIteration):
        exchange.send(DONE)
    return new


def test_only_unknown_results_are_new_and_the_newest_is_live() -> None:
    records = Records()
    first = "2020-03-14T15:01:00 98.0 72.0"
    second, third = first.replace("15:01", "15:02"), first.replace("15:01", "15:03")
    assert transfer(records, result(1), result(2)) == [(first, True), (second, False)]
    assert transfer(records, result(1), result(2)) == []
    assert transfer(records, result(2), result(3)) == [(third, False)]


def test_two_results_with_the_same_time_are_two() -> None:
    """A clock that was never set restarts with each battery."""
    records = Records()
    assert len(transfer(records, result(1, 97), result(1, 98))) == 2


def test_results_without_a_time_are_always_new() -> None:
    options = Options(records=Records())
    [timed] = PulseOximeterState(options).take(decode_spot_check(b"\x00\x62\x00\x48\x00"), 1)
    assert timed.record is None


def test_continuous_results_stream_during_a_transfer() -> None:
    state = PulseOximeterState(Options())
    state.take(decode_record_access(ALL), 1)
    assert not list(state.take(decode_spot_check(result(1)), 2))
    streamed = decode_continuous(b"\x00\x62\x00\x48\x00")
    assert [timed.measurement for timed in state.take(streamed, 3)] == [streamed]


def test_a_link_that_ends_during_a_transfer_releases_the_newest_result() -> None:
    state = PulseOximeterState(Options())
    state.take(decode_record_access(ALL), 1)
    state.take(decode_spot_check(result(1)), 2)
    assert [timed.mono_ns for timed in state.end()] == [2]
