"""Requests to a machine: checked against its ranges and the settings, and written as bytes."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.fitness_machine.machine import Machine, Range, machine_of
from healthd.profiles.fitness_machine.procedures import (
    Limits,
    Rejected,
    answers,
    command,
    loses_control,
    release,
    result,
)
from healthd.verbs import (
    OfPeripheral,
    SetSimulation,
    SetTargetInclination,
    SetTargetPower,
    SetTargetResistance,
    SetTargetSpeed,
    Start,
    Stop,
)

# The features and ranges of the simulated machines.
BIKE = machine_of(
    {"2ad2", "2ad9", "2ad6", "2ad8"},
    {
        "2acc": bytes.fromhex("865600000c200000"),
        "2ad6": bytes.fromhex("0000e8030100"),
        "2ad8": bytes.fromhex("0000e8030500"),
    },
)
TREADMILL = machine_of(
    {"2acd", "2ad9", "2ad4", "2ad5"},
    {
        "2acc": bytes.fromhex("0d16000003000000"),
        "2ad4": bytes.fromhex("5000d0070a00"),
        "2ad5": bytes.fromhex("e2ff96000500"),
    },
)
SILENT = machine_of({"2ad2", "2ad9"}, {})
LIMITS = Limits(speed_mps=Range(0, 4), inclination_pct=Range(-1, 10), grade_pct=Range(-15, 15))


def power(watts: int) -> SetTargetPower:
    return SetTargetPower(peripheral="bike", power_w=watts)


def resistance(level: float) -> SetTargetResistance:
    return SetTargetResistance(peripheral="bike", resistance_level=level)


def speed(mps: float) -> SetTargetSpeed:
    return SetTargetSpeed(peripheral="treadmill", speed_mps=mps)


def inclination(pct: float) -> SetTargetInclination:
    return SetTargetInclination(peripheral="treadmill", inclination_pct=pct)


def road(pct: float, wind_speed_mps: float = 0.0) -> SetSimulation:
    return SetSimulation(peripheral="bike", grade_pct=pct, wind_speed_mps=wind_speed_mps)


START, STOP = Start(peripheral="one"), Stop(peripheral="one")


def test_the_ranges_of_a_machine() -> None:
    assert BIKE.ranges == {
        "resistance_level": Range(0, 100, 0.1, 0.1),
        "power_w": Range(0, 1000, 1, 5),
    }
    assert BIKE.targets == {"resistance", "power", "indoor_bike_simulation"}
    assert (BIKE.is_treadmill, BIKE.narrow) == (False, False)
    assert TREADMILL.ranges == {
        "speed_mps": Range(80 / 360, 2000 / 360, 1 / 360, 10 / 360),
        "inclination_pct": Range(-3, 15, 0.1, 0.5),
    }
    assert TREADMILL.is_treadmill


@pytest.mark.parametrize(
    "value",
    ["", "00", "0000e8", "0000", "000000000000", "e80300000100"],
    ids=["empty", "a byte", "cut", "no most", "zeros", "upside down"],
)
def test_an_empty_range_is_none(value: str) -> None:
    facts = {"2ad8": bytes.fromhex(value), "2acc": bytes.fromhex("8656")}
    assert machine_of(set(), facts) == Machine()


@pytest.mark.parametrize(
    ("request_", "machine", "written", "change", "targets"),
    [
        (power(250), BIKE, "05 fa 00", "set", {"power_w": 250}),
        (power(1000), BIKE, "05 e8 03", "set", {"power_w": 1000}),
        (resistance(12.5), BIKE, "04 7d 00", "set", {"resistance_level": 12.5}),
        (resistance(12.5), replace(BIKE, narrow=True), "04 7d", "set", {"resistance_level": 12.5}),
        (speed(3), TREADMILL, "02 38 04", "set", {"speed_mps": 3}),
        (inclination(-1), TREADMILL, "03 f6 ff", "set", {"inclination_pct": -1}),
        (
            road(3.5, wind_speed_mps=-1),
            BIKE,
            "11 18 fc 5e 01 28 33",
            "set",
            {"grade_pct": 3.5, "wind_speed_mps": -1, "crr": 0.004, "cw_kg_per_m": 0.51},
        ),
        (START, BIKE, "07", "started", {}),
        (START, TREADMILL, "07", "started", {}),
        (STOP, TREADMILL, "08 01", "stopped", {}),
    ],
)
def test_the_bytes_of_a_request(
    request_: OfPeripheral,
    machine: Machine,
    written: str,
    change: str,
    targets: dict[str, float],
) -> None:
    made = command(request_, machine, LIMITS)
    assert made.request.hex(" ") == written
    assert (made.change, made.targets) == (change, targets)


def test_the_width_of_a_resistance_follows_its_range() -> None:
    narrow = machine_of({"2ad6"}, {"2ad6": bytes.fromhex("00c801")})
    assert narrow.ranges["resistance_level"] == Range(0, 20, 0.1, 0.1)
    assert command(resistance(20), narrow, Limits()).request == bytes.fromhex("04c8")
    with pytest.raises(Rejected, match="expected 0 to 20: the machine says 0 to 20 in steps of"):
        command(resistance(20.1), narrow, Limits())


REFUSED = [
    (power(1001), BIKE, Limits(), "expected 0 to 1000: the machine says 0 to 1000 in steps of 5"),
    (power(-1), BIKE, Limits(), "power_w is -1, expected 0 to 1000"),
    (
        power(450),
        BIKE,
        Limits(power_w=Range(50, 400)),
        "power_w is 450, expected 50 to 400: the settings allow 50 to 400, the machine says 0 to",
    ),
    (power(1001), BIKE, Limits(power_w=Range(-9, 2000)), "expected 0 to 1000: the settings allow"),
    (
        power(1001),
        BIKE,
        Limits(power_w=Range(1100, 2000)),
        "power_w is 1001, expected nothing: the settings allow 1100 to 2000, the machine says 0",
    ),
    (power(10**9), SILENT, Limits(power_w=Range(0, 10**10)), "power_w: expected -32768 to 32767"),
    (resistance(101), BIKE, Limits(), "resistance_level is 101, expected 0 to 100"),
    (resistance(math.nan), BIKE, Limits(), "resistance_level is nan, expected 0 to 100"),
    (resistance(math.inf), BIKE, Limits(), "resistance_level is inf, expected 0 to 100"),
    (speed(4.01), TREADMILL, LIMITS, "expected 0.222 to 4: the settings allow 0 to 4, the machine"),
    (speed(0.1), TREADMILL, LIMITS, "speed_mps is 0.1, expected 0.222 to 4"),
    (speed(math.nan), TREADMILL, LIMITS, "speed_mps is nan"),
    (inclination(-math.inf), TREADMILL, LIMITS, "inclination_pct is -inf"),
    (inclination(-1.1), TREADMILL, LIMITS, "inclination_pct is -1.1, expected -1 to 10"),
    (road(15.1), BIKE, LIMITS, "grade_pct is 15.1, expected -15 to 15: the settings allow -15 to"),
    (road(math.nan), BIKE, LIMITS, "grade_pct is nan"),
    (road(0, math.nan), BIKE, LIMITS, "wind_speed_mps: expected -32.768 to 32.767, found nan"),
    (road(0, math.inf), BIKE, LIMITS, "wind_speed_mps: expected -32.768 to 32.767, found inf"),
]


@pytest.mark.parametrize(("request_", "machine", "limits", "message"), REFUSED)
def test_a_value_out_of_range_is_refused_with_the_accepted_range(
    request_: OfPeripheral, machine: Machine, limits: Limits, message: str
) -> None:
    with pytest.raises(Rejected, match=re.escape(message)) as rejected:
        command(request_, machine, limits)
    assert rejected.value.reason == "out_of_range"


@given(
    value=st.floats(),
    allowed=st.tuples(st.floats(-50, 50), st.floats(-50, 50)).map(sorted),
)
def test_nothing_is_written_outside_the_machines_or_the_settings_range(
    value: float, allowed: list[float]
) -> None:
    limits = Limits(inclination_pct=Range(*allowed))
    try:
        made = command(inclination(value), TREADMILL, limits)
    except Rejected:
        # Or no step of the machine, 0.5 % from -3 % on, is within the limits.
        steps = [half / 2 for half in range(-6, 31) if allowed[0] <= half / 2 <= allowed[1]]
        assert not (allowed[0] <= value <= allowed[1] and -3 <= value <= 15) or not steps
    else:
        raw = int.from_bytes(made.request[1:], "little", signed=True)
        assert -30 <= raw <= 150
        assert allowed[0] <= raw / 10 <= allowed[1]
        assert allowed[0] <= value <= allowed[1]
        assert abs(raw / 10 - value) <= 0.5


def test_a_machines_limit_is_accepted_as_it_is_displayed() -> None:
    fast = replace(LIMITS, speed_mps=Range(0, 10))
    with pytest.raises(Rejected, match=r"expected 0\.222 to 5\.556: ") as rejected:
        command(speed(9), TREADMILL, fast)
    least, most = re.findall(r"expected ([\d.]+) to ([\d.]+)", str(rejected.value))[0]
    assert command(speed(float(least)), TREADMILL, fast).request == bytes.fromhex("025000")
    assert command(speed(float(most)), TREADMILL, fast).request == bytes.fromhex("02d007")


@pytest.mark.parametrize(
    ("request_", "key"),
    [(speed(1), "speed_mps"), (inclination(1), "inclination_pct"), (START, "speed_mps")],
)
def test_a_treadmill_is_not_moved_without_limits(request_: OfPeripheral, key: str) -> None:
    with pytest.raises(Rejected, match=f"the settings have no control.{key}") as rejected:
        command(request_, TREADMILL, Limits())
    assert rejected.value.reason == "not_allowed"


def test_a_treadmill_is_always_stopped() -> None:
    assert command(STOP, TREADMILL, Limits()).request == bytes.fromhex("0801")


@pytest.mark.parametrize("request_", [power(100), resistance(5)])
def test_without_any_range_nothing_is_set(request_: OfPeripheral) -> None:
    with pytest.raises(Rejected, match=r"does not say its range of .*: set control") as rejected:
        command(request_, SILENT, Limits())
    assert rejected.value.reason == "not_allowed"
    wide = Limits(power_w=Range(0, 300), resistance_level=Range(0, 20))
    assert command(request_, SILENT, wide).change == "set"


@pytest.mark.parametrize(
    ("request_", "machine"), [(power(100), TREADMILL), (road(1), TREADMILL), (speed(1), BIKE)]
)
def test_a_request_denied_by_feature_and_range_is_not_written(
    request_: OfPeripheral, machine: Machine
) -> None:
    with pytest.raises(Rejected, match="the machine says that it") as rejected:
        command(request_, machine, replace(LIMITS, power_w=Range(0, 300)))
    assert rejected.value.reason == "not_supported"


def test_a_request_denied_by_only_one_of_them_is_written() -> None:
    """Machines often report wrong features; their answer counts."""
    wrong = replace(BIKE, targets=frozenset[str]())
    assert command(power(100), wrong, LIMITS).request == bytes.fromhex("056400")
    assert command(road(0), wrong, LIMITS).request == bytes.fromhex("110000 0000 28 33")


@pytest.mark.parametrize(
    ("machine", "done", "written"),
    [
        (BIKE, "", ["1100000000 2833", "01"]),
        (replace(BIKE, targets=None), "", ["01"]),
        (replace(BIKE, targets=None), "simulated", ["1100000000 2833", "01"]),
        (TREADMILL, "", ["0801", "01"]),
        (TREADMILL, "stopped", ["01"]),
    ],
    ids=["bike", "no targets", "no targets, simulated", "treadmill", "stopped treadmill"],
)
def test_how_a_machine_is_released(machine: Machine, done: str, written: list[str]) -> None:
    steps = release(machine, simulated=done == "simulated", stopped=done == "stopped")
    assert steps == tuple(map(bytes.fromhex, written))


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("800501", "success"),
        ("800502", "opcode_not_supported"),
        ("800503", "invalid_parameter"),
        ("800504", "operation_failed"),
        ("800505", "control_not_permitted"),
        ("800507", "result_7"),
        ("8005", "not_understood"),
    ],
)
def test_how_a_procedure_ended(answer: str, word: str) -> None:
    assert result(bytes.fromhex(answer)) == word


def test_an_answer_names_its_request() -> None:
    assert answers(b"\x05\xfa\x00", b"\x80\x05\x01")
    for other in (b"", b"\x80", b"\x80\x04\x01", b"\x05\xfa\x00"):
        assert not answers(b"\x05\xfa\x00", other)


def test_only_one_status_means_that_control_is_lost() -> None:
    assert [code for code in range(256) if loses_control(bytes([code, 0]))] == [0xFF]
    assert not loses_control(b"")
