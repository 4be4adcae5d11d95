"""What the daemon says to those who ask for what it cannot do, and which limits it keeps."""

from typing import Any, cast

import pytest

from healthd.central.periodic import Periodic
from healthd.central.session import Session
from healthd.central.trainer import Rules
from healthd.control import Refused
from healthd.profiles.fitness_machine.machine import Range
from healthd.profiles.fitness_machine.procedures import Limits
from healthd.sessions import ControlRequests, FetchRequests, rules_for
from healthd.settings import PeripheralSettings
from healthd.verbs import SetTargetPower


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "no such peripheral"),
        ({"peripheral": ["strap"]}, "no such peripheral"),
        ({"peripheral": "scale"}, "no such peripheral: restart it"),
        ({"peripheral": "strap"}, "continuous peripheral: restart it"),
    ],
)
async def test_what_the_running_daemon_does_not_fetch(request_: dict[str, Any], said: str) -> None:
    requests = FetchRequests({"strap": cast(Session, object())})
    with pytest.raises(Refused, match=said):
        await requests.fetch(request_)


def test_all_that_peripherals_are_asked_to_do_has_a_handler() -> None:
    assert ControlRequests({}).handlers.keys() == {
        "reset_energy_expended",
        "set_target_power",
        "set_target_resistance",
        "set_target_speed",
        "set_target_inclination",
        "set_simulation",
        "start",
        "stop",
    }


@pytest.mark.parametrize(
    ("peripheral", "said"),
    [
        ("bike", "peripheral is 'bike', expected one of scale$"),
        ("scale", "scale: it is linked now and then, and not controlled"),
    ],
)
async def test_what_the_running_daemon_does_not_control(peripheral: str, said: str) -> None:
    periodic = Periodic.__new__(Periodic)
    handler = ControlRequests({"scale": periodic}).handlers["set_target_power"]
    with pytest.raises(Refused, match=said):
        await handler(SetTargetPower(peripheral=peripheral, power_w=1))


def test_limits_are_those_of_the_settings() -> None:
    entry = {"id": "one", "name": "One"}
    assert rules_for(PeripheralSettings.model_validate(entry)) == Rules(
        Limits(grade_pct=Range(-15, 15)), lease_s=30
    )
    control = {"power_w": [0, 400], "speed_mps": [0, 3.5], "lease": "5s"}
    assert rules_for(PeripheralSettings.model_validate({**entry, "control": control})) == Rules(
        Limits(power_w=Range(0, 400), speed_mps=Range(0, 3.5), grade_pct=Range(-15, 15)),
        lease_s=5,
    )
