"""Commands to a fitness machine: to the right bytes, and back from them."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.fitness_machine import commands
from healthd.profiles.fitness_machine.control_point import decode_control_point
from healthd.samples import Measurement

COMMANDS = [
    (commands.REQUEST_CONTROL, "00"),
    (commands.RESET, "01"),
    (commands.set_target_speed(speed_mps=10.0), "02100e"),
    (commands.set_target_inclination(inclination_pct=-2.5), "03e7ff"),
    (commands.set_target_resistance(resistance_level=5.0), "043200"),
    (commands.set_target_resistance(resistance_level=-1.0), "04f6ff"),
    (commands.set_target_resistance(resistance_level=5.0, narrow=True), "0432"),
    (commands.set_target_power(power_w=250), "05fa00"),
    (commands.set_target_power(power_w=-100), "059cff"),
    (commands.set_target_heart_rate(heart_rate_bpm=150), "0696"),
    (commands.START_OR_RESUME, "07"),
    (commands.STOP, "0801"),
    (commands.PAUSE, "0802"),
    (commands.set_target_energy(energy_kj=4184.0), "09e803"),
    (commands.set_target_steps(steps=4660), "0a3412"),
    (commands.set_target_strides(strides=4660), "0b3412"),
    (commands.set_target_distance(distance_m=66051), "0c030201"),
    (commands.set_target_time(time_s=3600), "0d100e"),
    (commands.set_target_zone_times(zone_times_s=[10, 20]), "0e0a001400"),
    (commands.set_target_zone_times(zone_times_s=[10, 20, 30]), "0f0a0014001e00"),
    (commands.set_target_zone_times(zone_times_s=[1, 2, 3, 4, 5]), "1001000200030004000500"),
    (commands.set_simulation(grade_pct=-0.03), "110000fdff2833"),
    (
        commands.set_simulation(wind_speed_mps=-0.5, grade_pct=3, crr=0.0033, cw_kg_per_m=0.4),
        "110cfe2c012128",
    ),
    (commands.set_wheel_circumference(wheel_circumference_m=2.105), "123a52"),
    (commands.SPIN_DOWN_START, "1301"),
    (commands.SPIN_DOWN_IGNORE, "1302"),
    (commands.set_target_cadence(cadence_rpm=90.5), "14b500"),
]


@pytest.mark.parametrize(("written", "expected"), COMMANDS, ids=[each for _, each in COMMANDS])
def test_command_is_these_bytes(written: bytes, expected: str) -> None:
    assert written.hex() == expected


def test_every_opcode_has_a_command() -> None:
    assert {written[0] for written, _ in COMMANDS} == set(range(0x15))


def settings(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


@pytest.mark.parametrize(
    ("command", "key", "values", "resolution"),
    [
        (commands.set_target_speed, "speed_mps", settings(0, 65535 / 360), 1 / 360),
        (commands.set_target_inclination, "inclination_pct", settings(-3276.8, 3276.7), 0.1),
        (commands.set_target_power, "power_w", st.integers(-32768, 32767), 1),
        (commands.set_target_heart_rate, "heart_rate_bpm", st.integers(0, 255), 1),
        (commands.set_target_energy, "energy_kj", settings(0, 65535 * 4.184), 4.184),
        (commands.set_target_steps, "steps", st.integers(0, 65535), 1),
        (commands.set_target_strides, "strides", st.integers(0, 65535), 1),
        (commands.set_target_distance, "distance_m", st.integers(0, 0xFFFFFF), 1),
        (commands.set_target_time, "time_s", st.integers(0, 65535), 1),
        (commands.set_wheel_circumference, "wheel_circumference_m", settings(0, 6.5535), 0.0001),
        (commands.set_target_cadence, "cadence_rpm", settings(0, 32767.5), 0.5),
    ],
)
@given(data=st.data())
def test_command_reads_back_to_its_resolution(
    command: Callable[..., bytes],
    key: str,
    values: st.SearchStrategy[float],
    resolution: float,
    data: st.DataObject,
) -> None:
    value = data.draw(values)
    message = decode_control_point(command(**{key: value}))
    assert_whole(message, {key})
    read = getattr(message, key)
    assert math.isclose(read, value, abs_tol=resolution / 2 * 1.000001)
    # What was read is sent as the same bytes.
    assert command(**{key: read}) == command(**{key: value})


@given(level=settings(-3276.8, 3276.7))
def test_resistance_reads_back(level: float) -> None:
    message = decode_control_point(commands.set_target_resistance(resistance_level=level))
    assert_whole(message, {"resistance_raw", "resistance_width"})
    assert message.resistance_raw == round(level * 10)
    assert message.resistance_width == "s16"


@given(level=settings(0, 25.5))
def test_narrow_resistance_reads_back(level: float) -> None:
    written = commands.set_target_resistance(resistance_level=level, narrow=True)
    message = decode_control_point(written)
    assert message.resistance_raw == round(level * 10)
    assert message.resistance_width == "u8"


@given(
    wind=settings(-32.768, 32.767),
    grade=settings(-327.68, 327.67),
    crr=settings(0, 0.0255),
    cw=settings(0, 2.55),
)
def test_simulation_reads_back(wind: float, grade: float, crr: float, cw: float) -> None:
    asked = {"wind_speed_mps": wind, "grade_pct": grade, "crr": crr, "cw_kg_per_m": cw}
    message = decode_control_point(commands.set_simulation(**asked))
    assert_whole(message, set(asked))
    for key, resolution in zip(asked, (0.001, 0.01, 0.0001, 0.01), strict=True):
        assert math.isclose(getattr(message, key), asked[key], abs_tol=resolution / 2 * 1.000001)


@given(
    times=st.sampled_from([2, 3, 5]).flatmap(
        lambda zones: st.lists(st.integers(0, 65535), min_size=zones, max_size=zones)
    )
)
def test_zone_times_read_back(times: list[int]) -> None:
    message = decode_control_point(commands.set_target_zone_times(zone_times_s=times))
    assert_whole(message, {"zone_times_s"})
    assert message.zone_times_s == times


def assert_whole(message: Measurement, parameters: set[str]) -> None:
    assert message.fields().keys() == {"opcode", "name", *parameters}


@pytest.mark.parametrize(
    ("command", "arguments", "error"),
    [
        (commands.set_target_speed, {"speed_mps": 182.1}, "speed_mps: expected 0 to 182.04"),
        (commands.set_target_speed, {"speed_mps": -0.01}, "speed_mps: expected 0 to"),
        (commands.set_target_speed, {"speed_mps": math.nan}, "found nan"),
        (commands.set_target_speed, {"speed_mps": math.inf}, "found inf"),
        (
            commands.set_target_inclination,
            {"inclination_pct": 3276.8},
            "inclination_pct: expected -3276.8 to 3276.7, found 3276.8",
        ),
        (
            commands.set_target_resistance,
            {"resistance_level": 3276.8},
            "resistance_level: expected -3276.8 to 3276.7",
        ),
        (
            commands.set_target_resistance,
            {"resistance_level": 26, "narrow": True},
            "resistance_level: expected 0 to 25.5, found 26",
        ),
        (commands.set_target_power, {"power_w": 32768}, "power_w: expected -32768 to 32767"),
        (commands.set_target_heart_rate, {"heart_rate_bpm": 256}, "heart_rate_bpm: expected 0 to"),
        (commands.set_target_energy, {"energy_kj": 274199}, "energy_kj: expected 0 to 274198.44"),
        (commands.set_target_steps, {"steps": -1}, "steps: expected 0 to 65535, found -1"),
        (commands.set_target_strides, {"strides": 65536}, "strides: expected 0 to 65535"),
        (commands.set_target_distance, {"distance_m": 1 << 24}, "distance_m: expected 0 to 16777"),
        (commands.set_target_time, {"time_s": 65536}, "time_s: expected 0 to 65535, found 65536"),
        (
            commands.set_target_zone_times,
            {"zone_times_s": [1, 2, 3, 4]},
            "zone_times_s: expected 2, 3 or 5 times, found 4",
        ),
        (commands.set_target_zone_times, {"zone_times_s": [1, -1]}, "zone_times_s: expected 0 to"),
        (commands.set_simulation, {"grade_pct": 327.68}, "grade_pct: expected -327.68 to 327.67"),
        (
            commands.set_simulation,
            {"grade_pct": 0, "wind_speed_mps": 33},
            "wind_speed_mps: expected -32.768 to 32.767",
        ),
        (commands.set_simulation, {"grade_pct": 0, "crr": 0.03}, "crr: expected 0 to 0.0255"),
        (commands.set_simulation, {"grade_pct": 0, "cw_kg_per_m": 3}, "cw_kg_per_m: expected 0 to"),
        (
            commands.set_wheel_circumference,
            {"wheel_circumference_m": 7},
            "wheel_circumference_m: expected 0 to 6.5535, found 7",
        ),
        (commands.set_target_cadence, {"cadence_rpm": 32768}, "cadence_rpm: expected 0 to 32767.5"),
    ],
)
def test_command_names_what_is_out_of_range(
    command: Callable[..., bytes], arguments: dict[str, object], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        command(**arguments)
