"""What the parts of the daemon are given of an entry of the settings."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from healthd.central.bonds import BondSettings
from healthd.central.match import By, Match
from healthd.errors import Fatal
from healthd.gateway.entry import bond_settings_for, local_time, match_for, options_for, rules_for
from healthd.host.clock import Clock
from healthd.profiles import registry
from healthd.profiles.characteristic import Consent, Options
from healthd.profiles.fitness_machine.machine import Range
from healthd.profiles.fitness_machine.procedures import Limits
from healthd.profiles.records import Records
from healthd.samples import Stamp
from healthd.sessions.trainer import Rules
from healthd.settings.model import PeripheralSettings

ADDRESS = "C0:00:00:00:00:01"
RECORDS = Records()


class Fixed(Clock):
    """A clock that stands still."""

    def __init__(self, stamp: Stamp) -> None:
        self.stamp = stamp

    def now(self) -> Stamp:
        return self.stamp


def ten_to_eight() -> datetime:
    return datetime(2026, 11, 24, 7, 50)  # noqa: DTZ001 - what a clock shows


def test_what_profiles_are_told(tmp_path: Path) -> None:
    strap = PeripheralSettings(id="strap", name="Strap")
    told = options_for(strap, RECORDS, ten_to_eight)
    assert told == Options(local_time=ten_to_eight)
    assert told.records is RECORDS
    code = tmp_path / "consent"
    code.write_text("0042\n")
    entry = PeripheralSettings.model_validate(
        {
            "id": "strap",
            "name": "Strap",
            "wheel_circumference": 2,
            "pmd": ["ecg", "acceleration"],
            "hrv": "5min",
            "heart_rate_zones": [95, 114, 133],
            "set_clock": False,
            "user": 1,
            "consent_file": code,
        }
    )
    told = options_for(entry, RECORDS, ten_to_eight)
    assert told == Options(
        wheel_circumference_m=2.0,
        pmd=("ecg", "acceleration"),
        hrv_window_s=300.0,
        heart_rate_zones_bpm=(95, 114, 133),
        records=RECORDS,
        consent=Consent(1, 42),
    )
    assert told.local_time() is None
    assert "consent" not in repr(told)


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 6), ("Europe/Berlin", 7), ("Asia/Kolkata", 12)])
def test_clocks_are_set_to_the_local_time(zone: str, hour: int) -> None:
    at = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
    clock = Fixed(Stamp(int(at.timestamp()) * 10**9, 0, "synced"))
    told = local_time(clock, lambda: ZoneInfo(zone))
    assert told is not None
    assert (told.hour, told.tzinfo) == (hour, None)


def test_the_zone_is_looked_up_whenever_a_clock_is_set() -> None:
    """A gateway that was moved is told its new zone and not started anew."""
    at = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
    clock = Fixed(Stamp(int(at.timestamp()) * 10**9, 0, "synced"))
    zones = iter(["UTC", "Asia/Kolkata"])
    told = [local_time(clock, lambda: ZoneInfo(next(zones))) for _ in range(2)]
    assert [one and one.hour for one in told] == [6, 12]


def test_nobodys_clock_is_set_by_one_that_is_wrong() -> None:
    assert local_time(Fixed(Stamp(0, 0, "unsynced")), lambda: UTC) is None


@pytest.mark.parametrize("text", [None, "hunter2"], ids=["absent", "no code"])
def test_a_consent_code_that_cannot_be_used_is_found_at_the_start(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "consent"
    if text is not None:
        file.write_text(text)
    entry = PeripheralSettings(id="scale", user=1, consent_file=file)
    with pytest.raises(Fatal, match=r"peripherals\.scale\.consent_file") as refused:
        options_for(entry, RECORDS, ten_to_eight)
    assert "hunter2" not in str(refused.value)


def test_what_is_wished_of_a_bond_is_what_the_settings_say(tmp_path: Path) -> None:
    file = tmp_path / "passkey"
    file.write_text("000042\n")
    assert bond_settings_for(PeripheralSettings(id="scale")) == BondSettings(
        pair=False, passkey=None
    )
    told = PeripheralSettings(id="scale", pair=True, passkey_file=file)
    assert bond_settings_for(told) == BondSettings(pair=True, passkey=42)


@pytest.mark.parametrize("text", [None, "hunter2"], ids=["absent", "no passkey"])
def test_a_passkey_that_cannot_be_used_is_found_at_the_start(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "passkey"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Fatal, match=r"peripherals\.scale\.passkey_file") as refused:
        bond_settings_for(PeripheralSettings(id="scale", passkey_file=file))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "by", "wanted"),
    [
        ({"address": ADDRESS.lower()}, By.ADDRESS, ADDRESS),
        ({"name": "Polar*"}, By.NAME, "Polar*"),
        ({"service": "heart_rate"}, By.SERVICE, "180d"),
    ],
)
def test_what_the_settings_say(entry: dict[str, str], by: By, wanted: str) -> None:
    settings = PeripheralSettings.model_validate({"id": "strap", **entry})
    assert match_for(settings, registry.load()) == Match("strap", by, wanted)


def test_nothing_to_recognise_it_by() -> None:
    with pytest.raises(ValueError, match="strap"):
        match_for(PeripheralSettings(id="strap"), registry.load())


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
