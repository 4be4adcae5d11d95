"""What a survey of the radio finds, and the lines that it suggests for the settings."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from bleak.backends.device import BLEDevice

from healthd.central.link import Advertisement, Backends
from healthd.central.match import By, Match
from healthd.central.survey import MOST_DEVICES, Heard, InRange, survey
from healthd.central.survey import in_range as described
from healthd.profiles import registry
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.samples import Measurement
from healthd.simulator.air import Air
from healthd.simulator.catalogue import CATALOGUE

REGISTRY = registry.load()
STRAP, SCALE = "C0:00:00:00:00:01", "C0:00:00:00:00:02"

# Several rounds of advertisements, which come every 20 ms here.
SCAN_S = 0.5


@pytest.fixture
async def air(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Air]:
    """A strap and a scale."""
    monkeypatch.setattr("healthd.simulator.peripheral.ADVERTISING_INTERVAL_MS", 20.0)
    async with Air() as air:
        for address, model, name in ((STRAP, "heart_rate", "S"), (SCALE, "weight_scale", "W")):
            device = CATALOGUE[model].make(address, random.Random(1), name=name)
            await air.add(device)
            await device.appear()
        yield air


async def surveyed(air: Air, seconds: float, stop: asyncio.Event, *matches: Match) -> list[InRange]:
    backends = Backends(air.scanner_backend, air.client_backend)
    async with asyncio.timeout(20):
        return await survey(backends, None, seconds, stop, REGISTRY, matches)


async def test_peripherals_of_the_settings_come_first(air: Air) -> None:
    found = await surveyed(air, SCAN_S, asyncio.Event(), Match("scale", By.ADDRESS, SCALE))
    assert [(one.address, one.peripheral) for one in found] == [(SCALE, "scale"), (STRAP, None)]
    assert [one.profiles[0] for one in found] == ["weight_scale", "heart_rate"]
    assert [one.is_episodic for one in found] == [True, False]
    assert all(one.is_readable and one.rssi_dbm is not None for one in found)


async def test_it_ends_when_it_is_stopped(air: Air) -> None:
    stop = asyncio.Event()
    stop.set()
    await surveyed(air, 1000.0, stop)


def in_range(
    name: str | None,
    *,
    is_private: bool = False,
    is_episodic: bool = False,
    is_broadcast: bool = False,
) -> InRange:
    return InRange(
        address=STRAP,
        name=name,
        rssi_dbm=-60,
        profiles=("heart_rate",),
        is_private=is_private,
        is_episodic=is_episodic,
        is_broadcast=is_broadcast,
        peripheral=None,
        suggested_id="strap",
    )


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (in_range("My Strap"), f'address = "{STRAP}"  # "My Strap"'),
        (in_range(None), f'address = "{STRAP}"'),
        (in_range("My Strap", is_private=True), 'name = "My Strap"'),
        (in_range(None, is_private=True), f'address = "{STRAP}"'),
        (in_range(None, is_episodic=True), 'on = "advertising"'),
        (in_range(None, is_episodic=True, is_broadcast=True), "connect = false"),
    ],
)
def test_the_lines_for_the_settings(found: InRange, line: str) -> None:
    assert found.block.startswith('[[peripherals]]\nid = "strap"\n')
    assert any(one.startswith(line) for one in found.block.splitlines())


def test_a_device_that_is_listened_to_is_not_fetched() -> None:
    assert "on =" not in in_range(None, is_episodic=True, is_broadcast=True).block


def test_the_block_does_not_advise_to_pair_what_only_advertises() -> None:
    assert "pair the device" in in_range(None, is_private=True).block
    only_advertises = in_range(None, is_private=True, is_broadcast=True).block
    assert "pair the device" not in only_advertises
    assert "set service" in only_advertises


def advertising(*services: str, **data: str) -> InRange:
    handle = BLEDevice(STRAP, "D", None)
    values = {key: bytes.fromhex(value) for key, value in data.items()}
    heard = Heard(REGISTRY, [])
    # The service data may be in one advertisement, and the services in another one.
    heard.add(Advertisement(STRAP, "D", frozenset(), -60, handle, values))
    heard.add(Advertisement(STRAP, None, frozenset(services), -50, handle))
    [found] = described(heard, [], REGISTRY, [])
    return found


# The values are from public captures: see tests/vectors.
WEIGHT = {"service_data_181d": "223e30e607020e10293a"}
POLAR = {"manufacturer_data_006b": "33000038"}


def test_what_a_device_advertises_is_shown_and_listened_to() -> None:
    scale = advertising(**WEIGHT)
    assert (scale.profiles, scale.is_readable, scale.is_broadcast) == (("mi_scale",), True, True)
    assert "connect = false" in scale.block


def test_data_that_does_not_fit_is_not_shown() -> None:
    assert advertising(service_data_181d="00").profiles == ()
    assert not advertising(service_data_181d="00").is_readable


def test_results_are_listened_to_and_streams_are_linked() -> None:
    assert advertising("181d", **WEIGHT).is_broadcast
    strap = advertising("180d", **POLAR)
    assert strap.profiles == ("heart_rate", "polar_broadcast")
    assert not strap.is_broadcast, "only a link brings RR intervals"
    assert advertising("180f", **POLAR).is_broadcast, "its battery is no reason for a link"
    assert not advertising("180d").is_broadcast


def test_devices_of_the_settings_need_no_lines() -> None:
    new = in_range("S")
    assert new.fields()["block"] == new.block
    assert replace(new, peripheral="strap").fields()["block"] is None


def seen(number: int, name: str | None = None, rssi_dbm: int = -50, *uuids: str) -> Advertisement:
    address = f"D0:00:00:00:{number >> 8:02X}:{number & 255:02X}"
    return Advertisement(address, name, frozenset(uuids), rssi_dbm, BLEDevice(address, name, None))


def test_a_room_full_of_made_up_devices_leaves_room_for_the_real_ones() -> None:
    """D14: someone sends advertisements with a new address each time, from close by."""
    mine = Match("mine", By.NAME, "My Strap")
    heard = Heard(REGISTRY, [mine])
    heard.add(seen(1, "My Strap", -90))
    heard.add(seen(2, "A strap", -80, "180d"))
    for number in range(3, 4000):
        heard.add(seen(number, "Same name"))
    found = described(heard, [], REGISTRY, [mine])
    assert len(found) == MOST_DEVICES
    assert [(one.name, one.peripheral) for one in found[:2]] == [
        ("A strap", None),
        ("My Strap", "mine"),
    ]
    assert heard.left_out == 3999 - MOST_DEVICES
    assert len({one.suggested_id for one in found}) == MOST_DEVICES
    for number in range(4000, 9000):
        heard.add(seen(number, "Same name"))
    assert heard.left_out > 3999  # of more than these, not all are counted


def test_services_that_a_device_makes_up_are_bounded() -> None:
    heard = Heard(REGISTRY, [])
    for number in range(1000):
        heard.add(seen(1, "A", -50, f"{number:08x}-0000-0000-0000-000000000000"))
    (found,) = heard.devices()
    assert len(found.services) <= 64


class Reading(Measurement):
    """What a cuff has stored."""

    kind = "reading"
    retained = True


CUFF = Profile(
    "cuff",
    "ff01",
    derived=(Reading,),
    names=("BLEcuff*",),
    hint="hold its button until -P- blinks, then: healthd pair ID",
)


@pytest.mark.parametrize(
    ("name", "uuids"), [("BLECuff 7", []), ("BLEcuff", ["180f"]), ("X", ["ff01"])]
)
def test_a_device_that_has_to_be_prepared_comes_with_a_hint(name: str, uuids: list[str]) -> None:
    known = Registry([CUFF, REGISTRY.profiles["battery"]])
    heard = Heard(known, [])
    heard.add(seen(1, name, -50, *uuids))
    [found] = described(heard, [], known, [])
    assert found.profiles[0] == "cuff"
    assert found.is_readable
    assert found.hint == f"hold its button until -P- blinks, then: healthd pair {name_of(found)}"
    lines = found.block.splitlines()
    assert lines[:3] == [f"# {found.hint}", "[[peripherals]]", f'id = "{name_of(found)}"']
    assert lines[-1].startswith('on = "advertising"'), "what it has stored is a result"
    mine = Match("my-cuff", By.ADDRESS, found.address)
    [found] = described(heard, [], known, [mine])
    assert found.hint.endswith("healthd pair my-cuff")


def name_of(found: InRange) -> str:
    assert found.name is not None
    return found.name.lower().replace(" ", "-")


def test_a_device_that_needs_nothing_has_no_hint() -> None:
    assert advertising("180d").hint == ""
    assert "healthd pair" not in advertising("180d").block


def test_a_name_with_the_address_gives_an_id_without_it() -> None:
    known = Registry([CUFF])
    heard = Heard(known, [])
    heard.add(seen(7, "BLEcuff_00000264D00000000007"))
    [found] = described(heard, [], known, [])
    assert found.suggested_id == "blecuff-00000264"
    heard = Heard(known, [])
    heard.add(seen(7, "d00000000007"))
    [found] = described(heard, [], known, [])
    assert found.suggested_id == "peripheral"
