"""Simulated peripherals for given settings."""

import random
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from healthd.central.match import By, Match
from healthd.settings.model import PeripheralSettings
from healthd.simulator.broadcaster import Broadcaster
from healthd.simulator.world import peripherals_for


@pytest.mark.parametrize(
    "pattern", ["Polar H10*", "Strap ?", r"Strap\*", r"What\?", r"a\\b", "[TV] ?*", "*"]
)
def test_a_peripheral_has_a_name_that_its_entry_matches(pattern: str) -> None:
    entry = PeripheralSettings(id="strap", name=pattern)
    made = peripherals_for([entry], random.Random(1))["strap"]

    class Heard:
        address = made.address
        name = made.name
        services = frozenset[str]()
        data: Mapping[str, bytes] = MappingProxyType({})

    assert Match("strap", By.NAME, pattern).fits(Heard())


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"service": "mi_scale"}, "MI SCALE2 1"),
        ({"service": "okok"}, ""),
        ({"name": "M3*", "connect": False}, "M3"),
        ({"address": "C0:00:00:00:00:01", "connect": False}, "MI SCALE2 1"),
    ],
)
def test_an_entry_without_a_link_gets_a_device_that_only_advertises(
    entry: dict[str, object], name: str
) -> None:
    settings = PeripheralSettings.model_validate({"id": "one", **entry})
    made = peripherals_for([settings], random.Random(1))["one"]
    assert isinstance(made, Broadcaster)
    assert made.name == name
