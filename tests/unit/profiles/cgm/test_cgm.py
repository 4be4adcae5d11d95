from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.cgm import PROFILE, Cgm, CgmState, decode_cgm, fetch_readings
from healthd.profiles.cgm.session import (
    decode_cgm_session_start,
    decode_cgm_status,
)
from healthd.profiles.cgm.specific_ops import decode_cgm_specific_ops
from healthd.profiles.characteristic import Use
from healthd.profiles.common.racp import decode_record_access
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.records import Records
from healthd.samples import Measurement, Record
from healthd.simulator.health.cgm import with_checksum

TWO_RECORDS = bytes.fromhex("06000c10050006000c100600")
START_SESSION, STOP_SESSION = b"\x1a", b"\x1b"
START = decode_cgm_session_start(bytes.fromhex("e20704180d08180804"))


def published(found: Iterable[Timed], mono_ns: int) -> list[dict[str, Any]]:
    timed = list(found)
    assert {each.mono_ns for each in timed} == {mono_ns}
    assert all(each.measurement.kind == "cgm" for each in timed)
    return [each.measurement.fields() for each in timed]


def records(state: CgmState, packet: bytes = TWO_RECORDS) -> list[dict[str, Any]]:
    return published(state.take(decode_cgm(packet), 5), 5)


def times(fields: list[dict[str, Any]]) -> list[str]:
    return [each.get("device_time", "unset") for each in fields]


def reading(minutes: int) -> dict[str, Any]:
    return {"glucose_mmol_per_l": 6.66, "time_offset_s": minutes * 60}


def test_a_packet_is_split_into_records() -> None:
    assert records(CgmState(Options())) == [reading(5), reading(6)]


def test_records_keep_all_fields() -> None:
    packet = with_checksum(bytes.fromhex("0fe364000a000101011ef06400"))
    assert records(CgmState(Options()), packet) == [
        {
            "glucose_mmol_per_l": 5.55,
            "time_offset_s": 600,
            "status": ["session_stopped", "time_sync_required", "below_patient_low"],
            "trend_mmol_per_l_per_min": 0.167,
            "quality_pct": 100.0,
            "crc_ok": True,
        }
    ]


@pytest.mark.parametrize(
    ("end", "expected"), [("06000c", {"truncated": True}), ("00ff", {"trailing_bytes": 2})]
)
def test_the_last_record_shows_what_was_wrong_with_the_packet(
    end: str, expected: dict[str, Any]
) -> None:
    found = records(CgmState(Options()), TWO_RECORDS + bytes.fromhex(end))
    assert found == [reading(5), {**reading(6), **expected}]


def test_the_start_of_the_session_dates_the_records() -> None:
    state = CgmState(Options())
    assert times(records(state)) == ["unset", "unset"]
    assert [each.measurement for each in state.take(START, 4)] == [START]
    assert times(records(state)) == ["2018-04-24T13:13:24", "2018-04-24T13:14:24"]


def test_the_start_is_read_before_the_records_need_it() -> None:
    uses = {each.uuid: each.use for each in PROFILE.characteristics}
    assert uses["2aaa"] is Use.STATUS


def test_a_new_start_replaces_the_old_one() -> None:
    state = CgmState(Options())
    list(state.take(START, 1))
    list(state.take(decode_cgm_session_start(bytes.fromhex("e20704190000000000")), 2))
    assert times(records(state)) == ["2018-04-25T00:05:00", "2018-04-25T00:06:00"]


@pytest.mark.parametrize(
    "worthless",
    [
        with_checksum(bytes.fromhex("e20704180d08180804"))[:-1] + b"\x00",
        bytes.fromhex("000000000d08180804"),
        bytes.fromhex("e20711350d08180804"),
    ],
    ids=["wrong CRC", "unknown date", "no date"],
)
def test_an_unusable_start_dates_no_records(worthless: bytes) -> None:
    state = CgmState(Options())
    list(state.take(START, 1))
    start = decode_cgm_session_start(worthless)
    assert [each.measurement for each in state.take(start, 2)] == [start]
    assert times(records(state)) == ["unset", "unset"]


def test_a_start_with_a_correct_crc_counts() -> None:
    state = CgmState(Options())
    list(
        state.take(decode_cgm_session_start(with_checksum(bytes.fromhex("e20704180d08180804"))), 1)
    )
    assert times(records(state)) == ["2018-04-24T13:13:24", "2018-04-24T13:14:24"]


def test_a_new_session_invalidates_the_old_start() -> None:
    state = CgmState(Options())
    list(state.take(START, 1))
    assert not list(state.take(decode_cgm_specific_ops(STOP_SESSION), 2))
    assert times(records(state)) == ["2018-04-24T13:13:24", "2018-04-24T13:14:24"]
    assert not list(state.take(decode_cgm_specific_ops(START_SESSION), 3))
    assert times(records(state)) == ["unset", "unset"]


def test_a_time_outside_the_calendar_is_null() -> None:
    state = CgmState(Options())
    list(state.take(decode_cgm_session_start(bytes.fromhex("0f270c1f173b000000")), 1))
    assert times(records(state)) == [None, None]


def test_readings_are_identified_by_their_session_and_requested_from_the_last_one_on() -> None:
    fetched = Records()
    options = Options(records=fetched)
    state = CgmState(options)
    # The session is not known yet, so the readings cannot be identified.
    assert list(fetch_readings(options)) == []
    assert [each.record for each in state.take(decode_cgm(TWO_RECORDS), 1)] == [None, None]
    state.take(START, 2)
    exchange = fetch_readings(options)
    assert next(exchange) == b"\x01\x01"
    state.take(decode_record_access(b"\x01\x01"), 3)
    found = list(state.take(decode_cgm(TWO_RECORDS), 4))
    found += state.take(decode_record_access(b"\x06\x00\x01\x01"), 5)
    start = "2018-04-24T13:08:24"
    assert [(each.record, each.stored) for each in found] == [
        (Record(start, 300, ""), True),
        (Record(start, 360, ""), False),
    ]
    for each in found:
        assert each.record is not None
        assert fetched.add_if_new("cgm", each.record)
    with pytest.raises(StopIteration):
        exchange.send(b"\x06\x00\x01\x01")
    # Starting with minute 6.
    assert next(fetch_readings(options)) == b"\x01\x03\x01\x06\x00"
    state.take(decode_cgm_specific_ops(START_SESSION), 6)
    assert list(fetch_readings(options)) == []


def test_a_link_that_ends_during_a_transfer_releases_the_newest_reading() -> None:
    state = CgmState(Options())
    state.take(START, 1)
    state.take(decode_record_access(b"\x01\x01"), 2)
    assert [each.stored for each in state.take(decode_cgm(TWO_RECORDS), 3)] == [True]
    assert [each.mono_ns for each in state.end()] == [3]


def test_control_points_are_not_published() -> None:
    state = CgmState(Options())
    assert not list(state.take(decode_record_access(b"\x06\x00\x01\x01"), 1))
    assert not list(state.take(decode_cgm_specific_ops(b"\x1c\x1a\x01"), 1))


def test_a_status_is_published_as_it_is() -> None:
    status: Measurement = decode_cgm_status(bytes.fromhex("0600010101"))
    (timed,) = CgmState(Options()).take(status, 9)
    assert (timed.measurement, timed.mono_ns) == (status, 9)


def test_a_new_link_starts_without_a_session() -> None:
    assert PROFILE.state is not None
    list(PROFILE.state(Options()).take(START, 1))
    again = PROFILE.state(Options())
    assert times(published(again.take(decode_cgm(TWO_RECORDS), 2), 2)) == ["unset", "unset"]


def test_unavailable_values_are_null_in_a_record() -> None:
    packet = bytes.fromhex("0a03ffff0100ff07ffff")
    assert decode_cgm(packet).fields()["records"] == [
        {
            "glucose_mmol_per_l": None,
            "time_offset_s": 60,
            "trend_mmol_per_l_per_min": None,
            "quality_pct": None,
        }
    ]


def test_three_surplus_bytes_are_not_a_crc() -> None:
    fields = decode_cgm_status(with_checksum(bytes.fromhex("0600010101")) + b"\xaa").fields()
    assert fields["trailing_bytes"] == 3
    assert "crc_ok" not in fields


@given(
    parts=st.lists(
        st.tuples(st.integers(0, 2045), st.integers(0, 0xFFFF), st.booleans()), min_size=1
    )
)
def test_any_number_of_records_is_split_in_order(parts: list[tuple[int, int, bool]]) -> None:
    packet = b""
    for mg_per_dl, minutes, checked in parts:
        body = bytes([0]) + mg_per_dl.to_bytes(2, "little") + minutes.to_bytes(2, "little")
        packet += with_checksum(b"\x08" + body) if checked else b"\x06" + body
    found = [each.measurement for each in CgmState(Options()).take(decode_cgm(packet), 1)]
    assert all(isinstance(each, Cgm) and each.records is None for each in found)
    assert [each.fields() for each in found] == [
        {
            "glucose_mmol_per_l": round(mg_per_dl / 18.0156, 2),
            "time_offset_s": minutes * 60,
            **({"crc_ok": True} if checked else {}),
        }
        for mg_per_dl, minutes, checked in parts
    ]
