"""What is wanted of advertisements, and the data that is picked out of them."""

from healthd.central.advertised import AdvertisedData
from healthd.profiles import registry

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
