"""What a link of a cycling sensor publishes, packet by packet."""

import pytest

from healthd.profiles.common.speed_cadence_control import decode_control_point
from healthd.profiles.cycling_speed_cadence import (
    PROFILE,
    CyclingSpeedCadenceState,
    decode_feature,
    decode_measurement,
)
from healthd.profiles.options import Options

S = 1_000_000_000


def link(circumference_m: float = 2.0) -> CyclingSpeedCadenceState:
    return CyclingSpeedCadenceState(Options(wheel_circumference_m=circumference_m))


def sent(state: CyclingSpeedCadenceState, at: float, packet: str) -> dict[str, object]:
    (timed,) = state.take(decode_measurement(bytes.fromhex(packet)), round(at * S))
    assert timed.mono_ns == round(at * S)
    return timed.measurement.fields()


def derived(fields: dict[str, object]) -> tuple[object, object]:
    return fields.get("speed_mps"), fields.get("cadence_rpm")


def test_adds_speed_and_cadence_to_the_counters() -> None:
    state = link()
    first = sent(state, 0, "03 0a000000 0004 0500 0004")
    assert first.keys().isdisjoint({"speed_mps", "cadence_rpm"})
    assert sent(state, 2, "03 0d000000 000c 0800 000c") == {
        "cumulative_wheel_revolutions": 13,
        "last_wheel_event_time_s": 3.0,
        "cumulative_crank_revolutions": 8,
        "last_crank_event_time_s": 3.0,
        "speed_mps": 3.0,
        "cadence_rpm": 90.0,
    }


def test_roll_over_of_the_crank() -> None:
    state = link()
    sent(state, 0, "02 feff 00fc")
    assert derived(sent(state, 2, "02 0100 0004")) == (None, 90.0)


def test_wahoo_cadence_sensor_has_no_speed() -> None:
    # Both flags are set though only the crank turns: OpenTracks#1054.
    state = link()
    sent(state, 0, "03 00000000 1001 2100 c6eb")
    assert derived(sent(state, 1, "03 00000000 1001 2200 c6ef")) == (None, 60.0)
    assert derived(sent(state, 60, "03 00000000 1001 2200 c6ef")) == (None, 0.0)


def test_fields_missing_in_a_packet_are_not_published() -> None:
    state = link()
    sent(state, 0, "03 0a000000 0004 0500 0004")
    assert derived(sent(state, 1, "01 0b000000 0008")) == (2.0, None)
    assert derived(sent(state, 2, "02 0700 000c")) == (None, 60.0)
    assert derived(sent(state, 2.5, "00")) == (None, None)


def test_counter_without_its_time_is_published_as_it_is() -> None:
    state = link()
    sent(state, 0, "02 0500 0004")
    assert sent(state, 1, "02 0600") == {"cumulative_crank_revolutions": 6, "truncated": True}
    assert derived(sent(state, 2, "02 0700 000c")) == (None, 60.0)


def test_a_new_link_starts_without_rates() -> None:
    sent(link(), 0, "02 0500 0004")
    assert derived(sent(link(), 1, "02 0600 0008")) == (None, None)


@pytest.mark.parametrize("circumference_m", [2.105, 1.0])
def test_speed_uses_the_wheel_circumference_of_the_settings(circumference_m: float) -> None:
    state = link(circumference_m)
    sent(state, 0, "01 0a000000 0004")
    speed, _ = derived(sent(state, 2, "01 0d000000 000c"))
    assert speed == pytest.approx(1.5 * circumference_m, abs=0.0005)


def test_setting_the_wheel_counter_restarts_the_speed() -> None:
    state = link()
    sent(state, 0, "03 14000000 0004 0500 0004")
    sent(state, 1, "03 15000000 0008 0600 0008")
    request = decode_control_point(bytes.fromhex("0114000000"))
    assert list(state.take(request, 1 * S)) == []
    # The sensor may set the counter before its response arrives, or one packet later.
    assert derived(sent(state, 2, "03 16000000 000c 0700 000c")) == (None, 60.0)
    assert list(state.take(decode_control_point(bytes.fromhex("100101")), 2 * S)) == []
    assert derived(sent(state, 3, "03 14000000 0010 0800 0010")) == (None, 60.0)
    assert derived(sent(state, 4, "03 15000000 0014 0900 0014")) == (2.0, 60.0)


def test_other_requests_change_nothing() -> None:
    state = link()
    sent(state, 0, "01 0a000000 0004")
    for message in ("0304", "100301", "04", "10040104"):
        assert list(state.take(decode_control_point(bytes.fromhex(message)), 0)) == []
    assert derived(sent(state, 1, "01 0b000000 0008")) == (2.0, None)


def test_a_measurement_without_counters_is_published_as_it_is() -> None:
    feature = decode_feature(bytes.fromhex("0300"))
    (timed,) = link().take(feature, 5)
    assert (timed.measurement, timed.mono_ns) == (feature, 5)


def test_is_the_state_of_the_profile() -> None:
    assert PROFILE.state is CyclingSpeedCadenceState
