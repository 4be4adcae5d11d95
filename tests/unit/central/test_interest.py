"""What is wanted of advertisements, and the data that is picked out of them."""

import pytest

from healthd.central.advertised import AdvertisedData
from healthd.central.interest import Interest
from healthd.gateway.entry import match_for
from healthd.profiles import registry
from healthd.settings.model import PeripheralSettings

FULL = "0000181d-0000-1000-8000-00805f9b34fb"
LONG = "a0520001-0000-4000-8000-000000000001"


def test_only_wanted_data_is_picked() -> None:
    data = AdvertisedData(("service_data_181d", f"service_data_{LONG}", "manufacturer_data_0157"))
    assert data.pick({}, {}) == {}
    picked = data.pick(
        {FULL: b"\x01", LONG: b"\x02", FULL.replace("181d", "181b"): b"\x03"},
        {0x157: b"", 0x5701: b"\x04"},
    )
    assert picked == {
        "service_data_181d": b"\x01",
        f"service_data_{LONG}": b"\x02",
        "manufacturer_data_0157": b"",
    }


def test_every_key_of_the_profiles_can_be_picked() -> None:
    keys = registry.load().broadcast_keys
    data = AdvertisedData(keys)
    assert {*data.services.values(), *data.companies.values()} == keys
    assert all(len(uuid) == 36 for uuid in data.services)


@pytest.mark.parametrize(
    ("keys", "is_steady"),
    [
        (["manufacturer_data_0102"], True),  # a bike
        (["service_data_181d"], False),  # a scale
        (["manufacturer_data_0102", "service_data_181d"], False),
        (["manufacturer_data_004c"], False),  # not wanted
        ([], False),
    ],
)
def test_what_a_device_advertises_shows_whether_it_rests(keys: list[str], is_steady: bool) -> None:
    interest, known = Interest(), registry.load()
    entry = PeripheralSettings(id="some", address="C0:00:00:00:00:01", connect=False)
    interest.update([match_for(entry, known)])
    assert interest.is_steady(dict.fromkeys(keys, b"")) == is_steady
    assert interest.only == "C0:00:00:00:00:01"
