"""Which limits of the settings a session keeps."""

from healthd.central.trainer import Rules
from healthd.profiles.fitness_machine.machine import Range
from healthd.profiles.fitness_machine.procedures import Limits
from healthd.sessions import rules_for
from healthd.settings import PeripheralSettings


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
