"""Commands to a fitness machine: the bytes that are written, and how they are decoded."""

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
    (commands.START_OR_RESUME, "07"),
    (commands.STOP, "0801"),
    (commands.set_simulation(grade_pct=-0.03), "110000fdff2833"),
    (
        commands.set_simulation(wind_speed_mps=-0.5, grade_pct=3, crr=0.0033, cw_kg_per_m=0.4),
        "110cfe2c012128",
    ),
]


@pytest.mark.parametrize(("written", "expected"), COMMANDS, ids=[each for _, each in COMMANDS])
def test_bytes_of_a_command(written: bytes, expected: str) -> None:
    assert written.hex() == expected


def settings(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


@pytest.mark.parametrize(
    ("command", "key", "values", "resolution"),
    [
        (commands.set_target_speed, "speed_mps", settings(0, 65535 / 360), 1 / 360),
        (commands.set_target_inclination, "inclination_pct", settings(-3276.8, 3276.7), 0.1),
        (commands.set_target_power, "power_w", st.integers(-32768, 32767), 1),
    ],
)
@given(data=st.data())
def test_a_command_is_decoded_to_its_resolution(
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
    # Half a step for the request's own resolution, a quarter for the decimals of the answer.
    assert math.isclose(read, value, abs_tol=resolution * 0.75 * 1.000001)
    # The decoded value is written as the same bytes.
    assert command(**{key: read}) == command(**{key: value})


@given(level=settings(-3276.8, 3276.7))
def test_a_resistance_is_decoded_as_it_was_written(level: float) -> None:
    message = decode_control_point(commands.set_target_resistance(resistance_level=level))
    assert_whole(message, {"resistance_raw", "resistance_width"})
    assert message.resistance_raw == round(level * 10)
    assert message.resistance_width == "s16"


@given(level=settings(0, 25.5))
def test_a_narrow_resistance_is_decoded_as_it_was_written(level: float) -> None:
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
def test_a_simulation_is_decoded_as_it_was_written(
    wind: float, grade: float, crr: float, cw: float
) -> None:
    asked = {"wind_speed_mps": wind, "grade_pct": grade, "crr": crr, "cw_kg_per_m": cw}
    message = decode_control_point(commands.set_simulation(**asked))
    assert_whole(message, set(asked))
    for key, resolution in zip(asked, (0.001, 0.01, 0.0001, 0.01), strict=True):
        assert math.isclose(getattr(message, key), asked[key], abs_tol=resolution / 2 * 1.000001)


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
        (commands.set_simulation, {"grade_pct": 327.68}, "grade_pct: expected -327.68 to 327.67"),
        (
            commands.set_simulation,
            {"grade_pct": 0, "wind_speed_mps": 33},
            "wind_speed_mps: expected -32.768 to 32.767",
        ),
        (commands.set_simulation, {"grade_pct": 0, "crr": 0.03}, "crr: expected 0 to 0.0255"),
        (commands.set_simulation, {"grade_pct": 0, "cw_kg_per_m": 3}, "cw_kg_per_m: expected 0 to"),
    ],
)
def test_a_value_out_of_range_is_named(
    command: Callable[..., bytes], arguments: dict[str, object], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        command(**arguments)
