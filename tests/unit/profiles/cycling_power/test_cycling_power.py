"""What a link of a power meter publishes, packet by packet."""

from healthd.profiles.cycling_power import (
    PROFILE,
    CyclingPowerState,
    decode_feature,
    decode_measurement,
    decode_vector,
)
from healthd.profiles.cycling_power.control_point import (
    decode_control_point,
)
from healthd.profiles.options import Options
from healthd.samples import Measurement

S = 1_000_000_000


def link() -> CyclingPowerState:
    return CyclingPowerState(Options(wheel_circumference_m=2.0))


def published(state: CyclingPowerState, at: float, measurement: Measurement) -> dict[str, object]:
    (timed,) = state.take(measurement, round(at * S))
    assert timed.mono_ns == round(at * S)
    return timed.measurement.fields()


def sent(state: CyclingPowerState, at: float, packet: str) -> tuple[object, object]:
    fields = published(state, at, decode_measurement(bytes.fromhex(packet)))
    return fields.get("speed_mps"), fields.get("cadence_rpm")


def test_adds_speed_and_cadence_to_the_other_fields() -> None:
    state = link()
    assert sent(state, 0, "3000 6400 0a000000 0008 0500 0004") == (None, None)
    second = decode_measurement(bytes.fromhex("3000 6400 0d000000 0018 0800 000c"))
    assert published(state, 2, second) == {
        "power_w": 100,
        "cumulative_wheel_revolutions": 13,
        "last_wheel_event_time_s": 3.0,
        "cumulative_crank_revolutions": 8,
        "last_crank_event_time_s": 3.0,
        "speed_mps": 3.0,
        "cadence_rpm": 90.0,
    }


def test_roll_over_of_the_wheel() -> None:
    # 3 revolutions in 4096 ticks of 1/2048 s.
    state = link()
    sent(state, 0, "1000 6400 feffffff 00f8")
    assert sent(state, 2, "1000 6400 01000000 0008") == (3.0, None)


def test_a_repeated_crank_event_becomes_a_standstill() -> None:
    # The crank of doudar/SmartSpin2k#70: its time rolls over, and then it stops.
    state = link()
    sent(state, 0, "2000 0b00 0a6e d7fc")
    _, cadence = sent(state, 1, "2000 0b00 0b6e 7501")
    # 61440 / (0x0175 + 0x10000 - 0xFCD7) = 51.98.
    assert cadence == 52.0
    assert sent(state, 2, "2000 0000 0b6e 7501") == (None, cadence)
    assert sent(state, 3.5, "2000 0000 0b6e 7501") == (None, 0.0)


def test_a_crank_left_out_of_a_packet_continues_after_it() -> None:
    # The Zwift Hub leaves it out of single packets.
    state = link()
    sent(state, 0, "2000 6400 0500 0004")
    assert sent(state, 1, "0000 6400") == (None, None)
    assert sent(state, 2, "2000 6400 0700 000c") == (None, 60.0)


def test_a_gap_longer_than_the_wheels_wrap_does_not_affect_the_crank() -> None:
    state = link()
    sent(state, 0, "3000 6400 0a000000 0008 0500 0004")
    # 40 s: more than the 32 s of the wheel, less than the 64 s of the crank.
    speed, cadence = sent(state, 40, "3000 6400 1e000000 0048 2d00 00a4")
    assert (speed, cadence) == (None, 60.0)


def test_setting_the_wheel_counter_restarts_the_speed() -> None:
    state = link()
    sent(state, 0, "1000 6400 0a000000 0008")
    request = decode_control_point(bytes.fromhex("0108000000"))
    assert list(state.take(request, 0)) == []
    assert sent(state, 1, "1000 6400 0b000000 0010") == (None, None)
    assert list(state.take(decode_control_point(bytes.fromhex("200101")), 0)) == []
    assert sent(state, 2, "1000 6400 08000000 0018") == (None, None)
    assert sent(state, 3, "1000 6400 09000000 0020") == (2.0, None)


def test_the_vector_has_its_own_cadence() -> None:
    state = link()
    sent(state, 0, "2000 6400 0500 0004")
    assert sent(state, 1, "2000 6400 0600 0008") == (None, 60.0)
    first = published(state, 1, decode_vector(bytes.fromhex("01 0600 0008")))
    second = published(state, 1.5, decode_vector(bytes.fromhex("01 0700 000a")))
    assert "cadence_rpm" not in first
    assert second["cadence_rpm"] == 120.0
    assert sent(state, 1.5, "2000 6400 0600 0008") == (None, 60.0)


def test_a_measurement_without_counters_is_published_as_it_is() -> None:
    feature = decode_feature(bytes.fromhex("0c000000"))
    (timed,) = link().take(feature, 5)
    assert (timed.measurement, timed.mono_ns) == (feature, 5)


def test_is_the_state_of_the_profile() -> None:
    assert PROFILE.state is CyclingPowerState
