"""What is derived from a heart rate during one link."""

from typing import Any

import pytest

from healthd.profiles.battery import Battery
from healthd.profiles.characteristic import Options, Timed
from healthd.profiles.heart_rate import (
    HeartRateState,
    decode_control_point,
    decode_heart_rate,
)

SECOND_NS = 1_000_000_000
ONE_BEAT = "10480004"  # 72 /min, an interval of 1000 ms


def taken(state: HeartRateState, packet: str, second: float) -> list[Timed]:
    measurement = decode_heart_rate(bytes.fromhex(packet))
    return list(state.take(measurement, int(second * SECOND_NS)))


def fields(state: HeartRateState, packet: str, second: float = 0) -> dict[str, Any]:
    (timed,) = taken(state, packet, second)
    assert timed.mono_ns == second * SECOND_NS
    return timed.measurement.fields()


def test_intervals_are_placed_and_the_rest_is_as_it_came() -> None:
    state = HeartRateState(Options())
    packet = bytes.fromhex("165000048003")
    added = fields(state, packet.hex())
    assert added.pop("rr_offsets_ms") == [-875.0, 0.0]
    assert added == decode_heart_rate(packet).fields()
    assert fields(state, ONE_BEAT, 1.25)["rr_offsets_ms"] == [-250.0]


@pytest.mark.parametrize("packet", ["0048", "0848d007"])
def test_without_intervals_nothing_is_placed(packet: str) -> None:
    assert (
        fields(HeartRateState(Options()), packet)
        == decode_heart_rate(bytes.fromhex(packet)).fields()
    )


def test_promised_intervals_that_are_not_there_have_no_places() -> None:
    assert fields(HeartRateState(Options()), "1048")["rr_offsets_ms"] == []


def test_a_lost_heart_begins_a_new_sum() -> None:
    state = HeartRateState(Options())
    fields(state, ONE_BEAT, 0)
    fields(state, "0000", 1)
    assert fields(state, ONE_BEAT, 2.5)["rr_offsets_ms"] == [0.0]


def test_each_link_has_a_sum_of_its_own() -> None:
    fields(HeartRateState(Options()), ONE_BEAT, 0)
    assert fields(HeartRateState(Options()), ONE_BEAT, 1.5)["rr_offsets_ms"] == [0.0]


@pytest.mark.parametrize(
    ("rate", "zone"),
    [(0, None), (94, 0), (95, 1), (113, 1), (114, 2), (170, 4), (171, 5), (255, 5)],
)
def test_zones_begin_at_their_bounds(rate: int, zone: int | None) -> None:
    state = HeartRateState(Options(heart_rate_zones_bpm=(95, 114, 133, 152, 171)))
    assert fields(state, f"00{rate:02x}")["heart_rate_zone"] == zone


def test_variability_is_told_once_a_window_before_the_rate_that_ends_it() -> None:
    state = HeartRateState(Options(hrv_window_s=30))
    told: list[Timed] = []
    for second in range(100):
        *ended, rate = taken(state, ONE_BEAT, second)
        assert rate.measurement.kind == "heart_rate"
        told += ended
    assert [one.measurement.kind for one in told] == ["heart_rate_variability"] * 3
    assert [one.mono_ns // SECOND_NS for one in told] == [30, 60, 90]
    assert told[1].measurement.fields() == {
        "rmssd_ms": 0.0,
        "sdnn_ms": 0.0,
        "beats": 30,
        "rejected_beats": 0,
        "window_s": 30,
    }


def test_a_window_ends_also_while_the_heart_is_lost() -> None:
    state = HeartRateState(Options(hrv_window_s=30))
    taken(state, ONE_BEAT, 0)
    taken(state, ONE_BEAT, 1)
    taken(state, ONE_BEAT, 2)
    assert [one.measurement.kind for one in taken(state, "0000", 31)] == [
        "heart_rate_variability",
        "heart_rate",
    ]


def test_nothing_else_is_published() -> None:
    state = HeartRateState(Options(hrv_window_s=30))
    assert list(state.take(decode_control_point(b"\x01"), 0)) == []
    assert list(state.take(Battery(level_pct=5), 0)) == []
