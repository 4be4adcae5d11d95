"""A KICKR's own control point: requests, answers and limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.fitness_machine.limits import Limits, Rejected
from healthd.profiles.fitness_machine.machine import Range
from healthd.profiles.fitness_machine.procedures import command
from healthd.profiles.vendor.kickr import Kickr, decode_control, set_resistance, set_target_power
from healthd.verbs import SetSimulation, SetTargetPower, SetTargetResistance, Start

M = "kickr"


def test_power_as_auuki_writes_it() -> None:
    assert set_target_power(power_w=200).hex() == "42c800"


@given(st.floats(0, 100))
def test_a_resistance_is_never_more_than_requested(level: float) -> None:
    read = decode_control(set_resistance(resistance_level=level)).resistance_pct
    assert read is not None
    assert level - 0.02 <= read <= level + 0.005


@pytest.mark.parametrize(
    ("make", "keys"),
    [
        (set_target_power, {"power_w": -1}),
        (set_target_power, {"power_w": 1 << 16}),
        (set_target_power, {"power_w": float("nan")}),
        (set_resistance, {"resistance_level": 100.1}),
        (set_resistance, {"resistance_level": float("nan")}),
    ],
)
def test_what_does_not_fit_is_an_error(make: Any, keys: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make(**keys)


def test_limits_are_those_of_the_settings() -> None:
    machine = Kickr().machine
    request = SetTargetPower(peripheral=M, power_w=200)
    with pytest.raises(Rejected, match=r"set control\.power_w in the settings"):
        command(request, machine, Limits())
    assert command(request, machine, Limits(power_w=Range(0, 200))).request.hex() == "42c800"
    with pytest.raises(Rejected, match="expected 0 to 199"):
        command(request, machine, Limits(power_w=Range(0, 199)))


@pytest.mark.parametrize(
    "request_", [Start(peripheral=M), SetSimulation(peripheral=M, grade_pct=1)]
)
def test_it_is_not_started_and_gets_no_road(request_: Any) -> None:
    with pytest.raises(Rejected) as rejected:
        command(request_, Kickr().machine, Limits(grade_pct=Range(-15, 15)))
    assert rejected.value.reason == "not_supported"


def test_a_resistance_is_in_percent() -> None:
    request = SetTargetResistance(peripheral=M, resistance_level=100)
    assert command(request, Kickr().machine, Limits()).request.hex() == "400000"


def test_answers() -> None:
    kickr, power = Kickr(), set_target_power(power_w=200)
    assert kickr.answers(power, bytes.fromhex("01420100c800"))
    assert kickr.result(power, bytes.fromhex("01420100c800")) == "success"
    assert kickr.result(power, bytes.fromhex("014202")) == "result_2"
    # A v5 answers so, and obeys.
    assert kickr.result(kickr.claim, bytes.fromhex("012002")) == "success"
    assert not kickr.answers(power, bytes.fromhex("014101"))
    assert not kickr.answers(power, b"\x01\x42")
    assert not kickr.answers(power, b"")
