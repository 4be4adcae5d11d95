"""The values derived from heart rates during one link."""

from typing import Any

import pytest

from healthd.profiles.battery import Battery
from healthd.profiles.heart_rate import (
    HeartRateState,
    decode_control_point,
    decode_heart_rate,
)
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options

SECOND_NS = 1_000_000_000
ONE_BEAT = "10480004"  # 72 /min, an interval of 1000 ms


def update(state: HeartRateState, packet: str, second: float) -> list[Timed]:
    measurement = decode_heart_rate(bytes.fromhex(packet))
    return list(state.take(measurement, int(second * SECOND_NS)))


def fields(state: HeartRateState, packet: str, second: float = 0) -> dict[str, Any]:
    (timed,) = update(state, packet, second)
    assert timed.mono_ns == second * SECOND_NS
    return timed.measurement.fields()


def test_intervals_get_offsets_and_nothing_else_changes() -> None:
    state = HeartRateState(Options())
    packet = bytes.fromhex("165000048003")
    added = fields(state, packet.hex())
    assert added.pop("rr_offsets_ms") == [-875.0, 0.0]
    assert added == decode_heart_rate(packet).fields()
    assert fields(state, ONE_BEAT, 1.25)["rr_offsets_ms"] == [-250.0]


@pytest.mark.parametrize("packet", ["0048", "0848d007"])
def test_without_intervals_there_are_no_offsets(packet: str) -> None:
    assert (
        fields(HeartRateState(Options()), packet)
        == decode_heart_rate(bytes.fromhex(packet)).fields()
    )


def test_announced_but_missing_intervals_have_no_offsets() -> None:
    assert fields(HeartRateState(Options()), "1048")["rr_offsets_ms"] == []


def test_a_lost_signal_restarts_the_sum() -> None:
    state = HeartRateState(Options())
    fields(state, ONE_BEAT, 0)
    fields(state, "0000", 1)
    assert fields(state, ONE_BEAT, 2.5)["rr_offsets_ms"] == [0.0]


def test_each_link_has_its_own_sum() -> None:
    fields(HeartRateState(Options()), ONE_BEAT, 0)
    assert fields(HeartRateState(Options()), ONE_BEAT, 1.5)["rr_offsets_ms"] == [0.0]


@pytest.mark.parametrize(
    ("rate", "zone"),
    [(0, None), (94, 0), (95, 1), (113, 1), (114, 2), (170, 4), (171, 5), (254, 5), (255, None)],
)
def test_zones_begin_at_their_limits(rate: int, zone: int | None) -> None:
    state = HeartRateState(Options(heart_rate_zones_bpm=(95, 114, 133, 152, 171)))
    assert fields(state, f"00{rate:02x}")["heart_rate_zone"] == zone


def test_variability_is_published_once_a_window_before_the_rate_that_ends_it() -> None:
    state = HeartRateState(Options(hrv_window_s=30))
    windows: list[Timed] = []
    for second in range(100):
        *ended, rate = update(state, ONE_BEAT, second)
        assert rate.measurement.kind == "heart_rate"
        windows += ended
    assert [window.measurement.kind for window in windows] == ["heart_rate_variability"] * 3
    assert [window.mono_ns // SECOND_NS for window in windows] == [30, 60, 90]
    assert windows[1].measurement.fields() == {
        "rmssd_ms": 0.0,
        "sdnn_ms": 0.0,
        "beats": 30,
        "rejected_beats": 0,
        "window_s": 30,
    }


def test_a_window_ends_even_if_the_signal_is_lost() -> None:
    state = HeartRateState(Options(hrv_window_s=30))
    update(state, ONE_BEAT, 0)
    update(state, ONE_BEAT, 1)
    update(state, ONE_BEAT, 2)
    assert [timed.measurement.kind for timed in update(state, "0000", 31)] == [
        "heart_rate_variability",
        "heart_rate",
    ]


def test_control_messages_are_not_published() -> None:
    state = HeartRateState(Options(hrv_window_s=30))
    assert list(state.take(decode_control_point(b"\x01"), 0)) == []
    assert list(state.take(Battery(level_pct=5), 0)) == []
