"""Limits hold for what a request results in: after rounding, and whatever the request is (D8)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.fitness_machine.limits import Limits, Rejected
from healthd.profiles.fitness_machine.machine import Machine, Range, machine_of
from healthd.profiles.fitness_machine.procedures import command
from healthd.profiles.fitness_machine.road import Road
from healthd.profiles.identity import Identity
from healthd.profiles.quirks import decoders_for, writers_for
from healthd.verbs import (
    OfPeripheral,
    SetSimulation,
    SetTargetInclination,
    SetTargetPower,
    SetTargetResistance,
    SetTargetSpeed,
    Start,
)

# A trainer with power in steps of 5 W, and a treadmill in steps of 0.1 km/h and 0.5 %.
BIKE = machine_of(
    {"2ad2", "2ad6", "2ad8"},
    {
        "2acc": bytes.fromhex("865600000c200000"),
        "2ad6": bytes.fromhex("0000e8030100"),
        "2ad8": bytes.fromhex("0000e8030500"),
    },
)
BELT_FACTS = {"2ad4": bytes.fromhex("5000d0070a00"), "2ad5": bytes.fromhex("e2ff96000500")}
BELT = machine_of({"2acd", "2ad4", "2ad5"}, BELT_FACTS)
MILE = 1.609344


def road(**keys: float) -> SetSimulation:
    return SetSimulation.model_validate({"peripheral": "bike", "grade_pct": 0.0} | keys)


def refusal(request: OfPeripheral, machine: Machine, limits: Limits) -> str:
    with pytest.raises(Rejected) as rejected:
        command(request, machine, limits)
    assert rejected.value.reason in ("out_of_range", "not_allowed", "not_supported")
    return str(rejected.value)


# The drag of a head wind of 32.767 m/s with cw 2.55 kg/m on a rider who stands still is 1368.9 N;
# 85 kg weigh 833.6 N, so it is like a grade of 164.2 %, and at 12.5 m/s it is 2612.6 N.
@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"wind_speed_mps": 32.767, "cw_kg_per_m": 2.55}, "like a grade of 308.6 %"),
        ({"wind_speed_mps": 32.767}, "like a grade of 57.91 %"),
        ({"wind_speed_mps": -32.767, "cw_kg_per_m": 2.55}, "like a grade of -164.2 %"),
        ({"cw_kg_per_m": 2.55}, "like a grade of 19.12 %"),
        ({"grade_pct": 15.0, "crr": 0.0255}, "like a grade of 17.15 %"),
        ({"grade_pct": -15.0, "crr": 0.0, "cw_kg_per_m": 0.0}, "like a grade of -20.18 %"),
        ({"grade_pct": 12.0, "wind_speed_mps": 8.0}, "like a grade of 20.08 %"),
        ({"grade_pct": -14.0, "wind_speed_mps": -9.0}, "like a grade of -18.41 %"),
    ],
)
def test_a_road_is_judged_by_its_resistance(keys: dict[str, float], found: str) -> None:
    said = refusal(road(**keys), BIKE, Limits(grade_pct=Range(-15, 15)))
    assert found in said
    assert "expected -15 to 15: the settings allow -15 to 15 for grade_pct" in said


@pytest.mark.parametrize(
    "keys",
    [
        {"grade_pct": 15.0},
        {"grade_pct": -15.0},
        {"grade_pct": 8.0, "wind_speed_mps": 7.0},
        {"grade_pct": -9.0, "wind_speed_mps": -8.0},
        {"cw_kg_per_m": 0.36},
        {"crr": 0.0125, "cw_kg_per_m": 0.6},
    ],
    ids=["steepest", "steepest descent", "head wind", "tail wind", "draft", "mountain bike"],
)
def test_usual_roads_are_allowed(keys: dict[str, float]) -> None:
    made = command(road(**keys), BIKE, Limits(grade_pct=Range(-15, 15)))
    assert {key: made.targets[key] for key in keys} == keys


@pytest.mark.parametrize(("grade", "is_allowed"), [(10.0, True), (11.4, False)])
def test_a_road_does_not_take_more_than_the_allowed_power(grade: float, is_allowed: bool) -> None:
    # At 4 m/s a rider of 85 kg needs 363 W for 10 %, 407 W for 11.4 %.
    limits = Limits(power_w=Range(0, 400), grade_pct=Range(-15, 15))
    if is_allowed:
        assert command(road(grade_pct=grade), BIKE, limits).change == "set"
    else:
        said = refusal(road(grade_pct=grade), BIKE, limits)
        assert "takes 407.2 W at 4 m/s, expected at most 400: the settings allow 0 to 400" in said


@given(
    st.builds(
        Road,
        grade_pct=st.floats(-15, 15),
        wind_speed_mps=st.floats(-32.768, 32.767),
        crr=st.floats(0, 0.0255),
        cw_kg_per_m=st.floats(0, 2.55),
    )
)
def test_the_equivalent_grade_covers_all_speeds(given_road: Road) -> None:
    low, high = given_road.equivalent_grades_pct()
    usual = Road(given_road.grade_pct, 0, 0.004, 0.51)
    for speed in (tenths / 10 for tenths in range(126)):
        # Small slopes: the grade counts as the sine of the slope.
        air = speed + given_road.wind_speed_mps
        drag = (given_road.cw_kg_per_m * air * abs(air) - 0.51 * speed**2) / 2
        grade = usual.grade_pct + 100 * (given_road.crr - 0.004 + drag / (85 * 9.80665))
        assert low - 1e-9 <= grade <= high + 1e-9


@pytest.mark.parametrize(
    ("watts", "limit", "written"),
    [(250, 250, 250), (248, 248, 245), (247, 248, 245), (244, 248, 244), (1000, 2000, 1000)],
)
def test_a_machine_does_not_round_a_power_beyond_the_limit(
    watts: int, limit: float, written: int
) -> None:
    made = command(
        SetTargetPower(peripheral="bike", power_w=watts), BIKE, Limits(power_w=Range(0, limit))
    )
    assert struct.unpack("<Bh", made.request) == (5, written)
    assert made.targets == {"power_w": written}


def test_a_lower_limit_is_rounded_upwards() -> None:
    limits = Limits(power_w=Range(52, 400), inclination_pct=Range(-0.72, 0.68))
    assert command(SetTargetPower(peripheral="b", power_w=52), BIKE, limits).targets == {
        "power_w": 55
    }
    for asked, raw in ((-0.71, -5), (0.66, 5), (0.1, 1)):
        made = command(SetTargetInclination(peripheral="b", inclination_pct=asked), BELT, limits)
        assert struct.unpack("<Bh", made.request) == (3, raw)


@pytest.mark.parametrize("factor", [1.0, MILE, 0.5])
@pytest.mark.parametrize("limit", [2.7777, 3.0, 1.111])
def test_a_belt_never_runs_faster_than_the_limit(factor: float, limit: float) -> None:
    machine = machine_of({"2acd"}, {}, speed_factor=factor)
    limits = Limits(speed_mps=Range(0, limit))
    made = command(SetTargetSpeed(peripheral="belt", speed_mps=limit), machine, limits)
    (raw,) = struct.unpack("<xH", made.request)
    assert limit - factor / 360 < raw / 360 * factor <= limit + 1e-12


def test_an_increment_that_makes_no_sense_is_ignored() -> None:
    machine = machine_of({"2ad8"}, {"2ad8": struct.pack("<hhH", 0, 300, 4000)})
    made = command(
        SetTargetPower(peripheral="b", power_w=248), machine, Limits(power_w=Range(0, 248))
    )
    assert made.targets == {"power_w": 248}


def test_limits_without_any_step_of_the_machine_allow_nothing() -> None:
    limits = Limits(inclination_pct=Range(0.6, 0.9))
    said = refusal(SetTargetInclination(peripheral="b", inclination_pct=0.7), BELT, limits)
    assert "no step of the machine is allowed for inclination_pct, expected 0.6 to 0.9" in said


def test_levels_are_rounded_down() -> None:
    """3.9 % as a share of 15 levels is written like 4 %."""
    name = Identity(name="T01_1234")
    machine = machine_of({"2acd"}, {}, decoders_for(name), writers_for(name))
    request = SetTargetInclination(peripheral="t", inclination_pct=3.9)
    made = command(request, machine, Limits(inclination_pct=Range(0, 3.9)))
    assert struct.unpack("<Bh", made.request) == (3, 200)  # Level 3.


@pytest.mark.parametrize(
    ("facts", "limits", "written"),
    [
        (BELT_FACTS, Range(0, 3), 80),
        (BELT_FACTS, Range(1, 3), 360),
        ({}, Range(0, 3), 80),
        ({}, Range(0, 0.1), 36),
        ({"2ad4": struct.pack("<HHH", 100, 2000, 10)}, Range(0, 3), 100),
    ],
)
def test_a_belt_starts_slowly(facts: dict[str, bytes], limits: Range, written: int) -> None:
    """A target from earlier, or a speed of the machine's own choice, may be beyond the limits."""
    machine = machine_of({"2acd", "2ad4"}, facts)
    made = command(Start(peripheral="belt"), machine, Limits(speed_mps=limits))
    assert (made.request, made.then) == (b"\x07", struct.pack("<BH", 2, written))


def test_a_belt_that_cannot_keep_the_limits_is_not_started() -> None:
    said = refusal(Start(peripheral="belt"), BELT, Limits(speed_mps=Range(0, 0.1)))
    assert "no step of the machine is allowed for speed_mps, expected nothing" in said


def test_a_belt_without_target_speed_is_only_started() -> None:
    machine = machine_of({"2acd"}, {"2acc": bytes(8)})
    assert command(Start(peripheral="belt"), machine, Limits(speed_mps=Range(0, 3))).then == b""


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (SetTargetPower(peripheral="b", power_w=100), "reaches a power by moving its belt"),
        (road(), "a treadmill simulates no road"),
        (SetTargetResistance(peripheral="b", resistance_level=1), "no control.resistance_level"),
    ],
)
def test_a_belt_is_moved_by_no_other_request(request_: OfPeripheral, said: str) -> None:
    """Treadmills that report every feature: a power would set a speed beyond the limits."""
    facts = {"2acc": bytes(4) + b"\xff" * 4, "2ad8": struct.pack("<hhH", 0, 900, 1)}
    machine = machine_of({"2acd", "2ad2", "2ad8"}, facts)
    limits = Limits(power_w=Range(0, 400), speed_mps=Range(0, 2), grade_pct=Range(-5, 5))
    assert said in refusal(request_, machine, limits)


def test_a_resistance_needs_limits_where_the_power_has_some() -> None:
    request = SetTargetResistance(peripheral="bike", resistance_level=50)
    said = refusal(request, BIKE, Limits(power_w=Range(0, 200)))
    assert "the power that a resistance takes is not known: set control.resistance_level" in said
    limits = Limits(power_w=Range(0, 200), resistance_level=Range(0, 60))
    assert command(request, BIKE, limits).change == "set"
