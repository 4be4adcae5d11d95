"""What the parts of the daemon get from an entry of the settings."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from healthd.central.bonds import BondSettings
from healthd.central.match import By, Match
from healthd.errors import Fatal
from healthd.gateway.entry import (
    Way,
    bond_settings_for,
    local_time,
    match_for,
    options_for,
    rules_for,
    way_of,
)
from healthd.host.clock import Clock
from healthd.profiles import registry
from healthd.profiles.characteristic import Broadcast
from healthd.profiles.fitness_machine.limits import Limits
from healthd.profiles.fitness_machine.machine import Range
from healthd.profiles.options import Consent, Options
from healthd.profiles.profile import Profile
from healthd.profiles.records import Records
from healthd.profiles.registry import Registry
from healthd.samples import Stamp
from healthd.sessions.hold import Rules
from healthd.settings.model import PeripheralSettings

ADDRESS = "C0:00:00:00:00:01"
RECORDS = Records()


class Fixed(Clock):
    """A clock that does not move."""

    def __init__(self, stamp: Stamp) -> None:
        self.stamp = stamp

    def now(self) -> Stamp:
        return self.stamp


def ten_to_eight() -> datetime:
    return datetime(2026, 11, 24, 7, 50)  # noqa: DTZ001 - what a clock shows


def test_the_options_of_the_profiles(tmp_path: Path) -> None:
    strap = PeripheralSettings(id="strap", name="Strap")
    options = options_for(strap, RECORDS, ten_to_eight)
    assert options == Options(local_time=ten_to_eight, now=ten_to_eight)
    assert options.records is RECORDS
    code = tmp_path / "consent"
    code.write_text("0042\n")
    entry = PeripheralSettings.model_validate(
        {
            "id": "strap",
            "name": "Strap",
            "wheel_circumference": 2,
            "speed_factor": 1.609344,
            "pmd": ["ecg", "acceleration"],
            "sample_interval": "0.25s",
            "hrv": "5min",
            "heart_rate_zones": [95, 114, 133],
            "set_clock": False,
            "user": 1,
            "consent_file": code,
        }
    )
    options = options_for(entry, RECORDS, ten_to_eight)
    assert options == Options(
        wheel_circumference_m=2.0,
        speed_factor=1.609344,
        pmd=("ecg", "acceleration"),
        interval_s=0.25,
        hrv_window_s=300.0,
        heart_rate_zones_bpm=(95, 114, 133),
        records=RECORDS,
        now=ten_to_eight,
        consent=Consent(1, 42),
    )
    assert options.local_time() is None
    assert "consent" not in repr(options)


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 6), ("Europe/Berlin", 7), ("Asia/Kolkata", 12)])
def test_clocks_are_set_to_the_local_time(zone: str, hour: int) -> None:
    at = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
    clock = Fixed(Stamp(int(at.timestamp()) * 10**9, 0, "synced"))
    found = local_time(clock, lambda: ZoneInfo(zone))
    assert found is not None
    assert (found.hour, found.tzinfo) == (hour, None)


def test_the_zone_is_looked_up_whenever_a_clock_is_set() -> None:
    """A gateway that was moved gets its new zone without a restart."""
    at = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
    clock = Fixed(Stamp(int(at.timestamp()) * 10**9, 0, "synced"))
    zones = iter(["UTC", "Asia/Kolkata"])
    times = [local_time(clock, lambda: ZoneInfo(next(zones))) for _ in range(2)]
    assert [found and found.hour for found in times] == [6, 12]


def test_no_clock_is_set_while_our_own_is_unsynced() -> None:
    assert local_time(Fixed(Stamp(0, 0, "unsynced")), lambda: UTC) is None


@pytest.mark.parametrize("text", [None, "hunter2"], ids=["absent", "no code"])
def test_an_unusable_consent_code_is_found_at_the_start(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "consent"
    if text is not None:
        file.write_text(text)
    entry = PeripheralSettings(id="scale", user=1, consent_file=file)
    with pytest.raises(Fatal, match=r"peripherals\.scale\.consent_file") as refused:
        options_for(entry, RECORDS, ten_to_eight)
    assert "hunter2" not in str(refused.value)


def test_a_bond_is_requested_as_in_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "passkey"
    file.write_text("000042\n")
    assert bond_settings_for(PeripheralSettings(id="scale")) == BondSettings(
        pair=False, passkey=None
    )
    entry = PeripheralSettings(id="scale", pair=True, passkey_file=file)
    assert bond_settings_for(entry) == BondSettings(pair=True, passkey=42)


@pytest.mark.parametrize("text", [None, "hunter2"], ids=["absent", "no passkey"])
def test_an_unusable_passkey_is_found_at_the_start(tmp_path: Path, text: str | None) -> None:
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
def test_a_match_is_by_address_name_or_service(entry: dict[str, str], by: By, wanted: str) -> None:
    settings = PeripheralSettings.model_validate({"id": "strap", **entry})
    known = registry.load()
    listens = by is not By.SERVICE
    broadcasts = known.announced() if listens else ()
    assert match_for(settings, known) == Match("strap", by, wanted, broadcasts=broadcasts)


def test_an_entry_without_address_name_and_service() -> None:
    with pytest.raises(ValueError, match="strap"):
        match_for(PeripheralSettings(id="strap"), registry.load())


def test_limits_and_lease_are_those_of_the_settings() -> None:
    entry = {"id": "one", "name": "One"}
    assert rules_for(PeripheralSettings.model_validate(entry)) == Rules(
        Limits(grade_pct=Range(-15, 15)), lease_s=30
    )
    control = {"power_w": [0, 400], "speed_mps": [0, 3.5], "lease": "5s"}
    assert rules_for(PeripheralSettings.model_validate({**entry, "control": control})) == Rules(
        Limits(power_w=Range(0, 400), speed_mps=Range(0, 3.5), grade_pct=Range(-15, 15)),
        lease_s=5,
    )
    assert rules_for(PeripheralSettings.model_validate({**entry, "speed_factor": 2})) == Rules(
        Limits(grade_pct=Range(-15, 15)), speed_factor=2
    )


_KNOWN = registry.load()
_MODEL = next(iter(_KNOWN.characteristics.values()))
BIKE, THERMOMETER = (
    Broadcast(uuid=key, model=_MODEL.model, decode=_MODEL.decode, use=_MODEL.use, keys=(key,))
    for key in ("some_bike", "some_thermometer")
)
ADVERTISING = registry.Registry(
    [
        Profile("heart_rate", "180d"),
        Profile("bike", broadcasts=(BIKE,)),
        Profile("thermometer", "1809", broadcasts=(THERMOMETER,)),
    ]
)


@pytest.mark.parametrize(
    ("settings", "way"),
    [
        ({"address": ADDRESS}, Way.CHOOSE),
        ({"name": "Some*", "pair": False, "rearm": "5min", "set_clock": True}, Way.CHOOSE),
        ({"name": "Some*", "silence": "30s", "hrv": "5min"}, Way.CHOOSE),
        ({"name": "Some*", "pair": True}, Way.LINK),
        ({"name": "Some*", "on": "advertising"}, Way.LINK),
        ({"name": "Some*", "control": {"lease": "10s"}}, Way.LINK),
        ({"name": "Some*", "connect": True}, Way.LINK),
        ({"name": "Some*", "connect": False}, Way.LISTEN),
        ({"address": ADDRESS, "bind_key_file": "/key"}, Way.LISTEN),
        ({"service": "heart_rate"}, Way.LINK),
        ({"service": "bike"}, Way.LISTEN),
        ({"service": "bike", "connect": False}, Way.LISTEN),
        ({"service": "thermometer"}, Way.LINK),
        ({"service": "thermometer", "connect": False}, Way.LISTEN),
    ],
)
def test_how_a_peripheral_is_received(settings: dict[str, Any], way: Way) -> None:
    entry = PeripheralSettings.model_validate({"id": "some", **settings})
    assert way_of(entry, ADVERTISING) is way
    match = match_for(entry, ADVERTISING)
    expected = {
        "bike": (BIKE,),
        "thermometer": () if way is Way.LINK else (THERMOMETER,),
    }.get(settings.get("service", ""), () if way is Way.LINK else (BIKE, THERMOMETER))
    assert match.broadcasts == expected


def test_the_bind_key_is_an_option_and_a_bad_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("00112233445566778899aabbccddeeff\n")
    entry = PeripheralSettings(id="room", address=ADDRESS, bind_key_file=file)
    options = options_for(entry, RECORDS, ten_to_eight)
    assert options.bind_key == bytes.fromhex("00112233445566778899aabbccddeeff")
    assert "bind_key" not in repr(options)
    file.write_text("secret")
    with pytest.raises(Fatal, match=r"peripherals\.room\.bind_key_file: found something else"):
        options_for(entry, RECORDS, ten_to_eight)


def test_a_service_is_also_recognised_by_the_names_of_its_devices() -> None:
    known = Registry([Profile("ring", "ff01", names=("O2Ring*",))])
    match = match_for(PeripheralSettings(id="mine", service="ring"), known)
    assert match == Match("mine", By.SERVICE, "ff01", names=("O2Ring*",))
    by_address = match_for(PeripheralSettings(id="mine", address=ADDRESS), known)
    assert by_address.names == ()
    kinds = [Profile(name, service, names=(pattern,)) for name, service, pattern in NAMESAKES]
    match = match_for(PeripheralSettings(id="mine", service="old_cuff"), Registry(kinds))
    assert (match.names, match.others) == (("Cuff*",), {"ff02"})


NAMESAKES = (("old_cuff", "ff01", "Cuff*"), ("new_cuff", "ff02", "CUFF*"), ("ring", "ff03", "O2*"))
