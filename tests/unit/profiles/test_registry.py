"""Profiles are found automatically and looked up by any form of their UUIDs."""

from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd import profiles
from healthd.profiles.characteristic import Broadcast, Characteristic, Use
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry, load
from healthd.profiles.uuids import canonical_uuid
from healthd.samples import Measurement

BASE = "-0000-1000-8000-00805f9b34fb"
VENDOR = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"


class Nothing(Measurement):
    kind: ClassVar[str] = "nothing"


def decode_nothing(data: bytes) -> Measurement:
    del data
    return Nothing()


def decode_other(data: bytes) -> Measurement:
    return decode_nothing(data)


def profile(name: str, service: str, *characteristics: Characteristic) -> Profile:
    return Profile(name, service, characteristics)


def characteristic(uuid: str) -> Characteristic:
    return Characteristic(uuid, Nothing, decode_nothing, Use.STATIC)


def broadcast(name: str, begins: bytes, *keys: str) -> Broadcast:
    return Broadcast(
        name,
        Nothing,
        decode_nothing,
        Use.STREAM,
        keys=keys,
        fits=lambda data: data.startswith(begins),
    )


SMALL = broadcast("small", b"SMALL", "manufacturer_data_0157")
TALL = broadcast("tall", b"TALL", "manufacturer_data_0157", "service_data_ff02")
SCALE = Profile("scale", broadcasts=(SMALL, TALL))


def test_finds_every_profile_module() -> None:
    sources = [*Path(profiles.__file__).parent.rglob("*.py")]
    declaring = [path for path in sources if "\nPROFILE = " in path.read_text()]
    found = load().profiles
    assert len(found) == len(declaring)
    assert {"heart_rate", "battery", "device_information"} <= found.keys()
    assert all(name == each.name for name, each in found.items())


@pytest.mark.parametrize("uuid", ["2a37", "2A37", "0x2A37", "00002a37", f"00002A37{BASE}"])
def test_characteristic_by_any_form(uuid: str) -> None:
    found = load().characteristic(uuid)
    assert found is not None
    assert found.uuid == "2a37"


@pytest.mark.parametrize("uuid", ["180d", "0x180D", f"0000180d{BASE}".upper()])
def test_service_by_any_form(uuid: str) -> None:
    found = load().service(uuid)
    assert found is not None
    assert found.name == "heart_rate"


def test_unknown_is_none() -> None:
    registry = load()
    assert registry.characteristic("ffff") is None
    assert registry.characteristic(VENDOR) is None
    assert registry.service("2a37") is None
    assert "heart rate" not in registry.profiles


def test_declared_uuids_are_canonical() -> None:
    registry = load()
    assert all(uuid == each.uuid for uuid, each in registry.characteristics.items())
    services = [each.service for each in registry.profiles.values() if each.service]
    assert [canonical_uuid(service) for service in services] == services


def test_a_profile_without_a_service_is_advertised_or_adds_to_another_service() -> None:
    for found in load().profiles.values():
        if not found.service:
            assert bool(found.broadcasts) != bool(found.characteristics)


def test_broadcasts_by_name_and_by_what_carries_them() -> None:
    registry = Registry([profile("strap", "ff01"), SCALE])
    assert list(registry.broadcasts) == ["small", "tall"]
    assert registry.sources == [SMALL, TALL]
    assert registry.broadcast_keys == {"service_data_ff02", "manufacturer_data_0157"}


def test_what_fits_is_found_in_advertised_data() -> None:
    registry = Registry([SCALE])
    data = {"manufacturer_data_0157": b"TALL", "service_data_ff03": b"TALL"}
    assert registry.broadcasts_in(data) == [(SCALE, TALL, b"TALL")]
    data = {"manufacturer_data_0157": b"SMALL", "service_data_ff02": b"TALL"}
    assert registry.broadcasts_in(data) == [(SCALE, SMALL, b"SMALL"), (SCALE, TALL, b"TALL")]
    assert registry.broadcasts_in({"manufacturer_data_0157": b"OTHER"}) == []


def test_broadcasts_with_one_name_are_refused() -> None:
    other = Profile("other", broadcasts=(broadcast("small", b"OTHER", "service_data_ff02"),))
    with pytest.raises(ValueError, match="small is declared twice"):
        Registry([SCALE, other])


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2A37", "2a37"),
        ("0X2a37", "2a37"),
        ("00002a37", "2a37"),
        ("0x00002A37", "2a37"),
        (f"00002A37{BASE.upper()}", "2a37"),
        ("12342a37", f"12342a37{BASE}"),
        (VENDOR.upper(), VENDOR),
        ("00002a37-02e7-f387-1cad-8acd2d8df0c8", "00002a37-02e7-f387-1cad-8acd2d8df0c8"),
    ],
)
def test_canonical_uuid(text: str, canonical: str) -> None:
    assert canonical_uuid(text) == canonical
    assert canonical_uuid(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2a3",
        "2a37a",
        "2a3g",
        " 2a37",
        "2a37\n",
        "0x",
        f"0x00002a37{BASE}",
        VENDOR[:-1],
        "\uff12a37",
    ],
)
def test_a_text_that_is_not_a_uuid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a UUID"):
        canonical_uuid(text)


@given(text=st.text())
def test_any_text_is_canonical_or_a_value_error(text: str) -> None:
    try:
        canonical = canonical_uuid(text)
    except ValueError:
        return
    assert canonical_uuid(canonical) == canonical


@pytest.mark.parametrize(
    ("second", "key"),
    [
        (profile("one", "ff02"), "one"),
        (profile("two", "0000FF01"), "ff01"),
        (
            profile("two", "ff02", Characteristic("0xAA01", Nothing, decode_other, Use.STREAM)),
            "aa01",
        ),
    ],
    ids=["name", "service", "characteristic"],
)
def test_different_declarations_of_the_same_thing_are_refused(second: Profile, key: str) -> None:
    first = profile("one", "ff01", characteristic("aa01"))
    with pytest.raises(ValueError, match=f"{key} is declared twice"):
        Registry([first, second])


def test_profiles_may_share_a_characteristic() -> None:
    shared = characteristic("aa01")
    registry = Registry([profile("one", "ff01", shared), profile("two", "ff02", shared)])
    assert registry.characteristic("aa01") is shared


RING = Profile("ring", VENDOR, names=("ring *", "R?"))
OLD_CUFF = Profile("old_cuff", "ff01", names=("Cuff*",))
NEW_CUFF = Profile("new_cuff", "ff02", names=("Cuff*",))
NAMED = Registry([RING, OLD_CUFF, NEW_CUFF, profile("battery", "180f")])


@pytest.mark.parametrize(
    ("name", "services", "found"),
    [
        ("Ring 0042", "", "ring"),
        ("RING 0042", "180f", "battery ring"),
        ("My ring 1", "", ""),
        ("r1", "", "ring"),
        ("r[1", "", ""),
        (None, "", ""),
        (None, VENDOR, "ring"),
        ("cuff 7", "", "new_cuff old_cuff"),
        ("cuff 7", "ff02", "new_cuff"),
        ("cuff 7", "FF01 180f", "battery old_cuff"),
        ("Ring 1", VENDOR, "ring"),
    ],
)
def test_a_device_is_recognised_by_its_services_and_by_its_name(
    name: str | None, services: str, found: str
) -> None:
    recognised = [each.name for each in NAMED.recognised(services.split(), name)]
    assert " ".join(sorted(recognised)) == found


def test_every_hint_is_one_line_and_every_name_is_of_something_to_link() -> None:
    for each in load().profiles.values():
        assert each.hint.isprintable()
        assert not (each.only_advertises and each.names)
