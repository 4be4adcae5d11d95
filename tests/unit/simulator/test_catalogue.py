"""The catalogue, and the peripherals that are created from it for given settings."""

import asyncio
import random
from typing import Any

import pytest
from bleak import BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.uuids import normalize_uuid_str

from healthd.profiles import registry
from healthd.profiles.profile import Profile, is_named
from healthd.settings.model import PeripheralSettings
from healthd.simulator.broadcasting.catalogue import BROADCASTING
from healthd.simulator.catalogue import CATALOGUE, select_models
from healthd.simulator.names import CONNECTABLE, NAMES
from healthd.simulator.part import Sent
from healthd.simulator.world import peripherals_for
from tests.unit.simulator.bench import Bench
from tests.unit.simulator.probe import probe


def test_names_match_the_catalogue() -> None:
    assert (*CATALOGUE, *BROADCASTING) == NAMES


def test_models_are_selected_once_each_and_in_order() -> None:
    assert [model.name for model in select_models(["rower, keiser", "heart_rate", "rower"])] == [
        "rower",
        "keiser",
        "heart_rate",
    ]
    assert select_models([]) == []


@pytest.mark.parametrize("names", [["rower", "rowr"], [""], ["rower,"]])
def test_error_for_an_unknown_name_lists_the_known_names(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"is not one of heart_rate, .*, treadmill, "):
        select_models(names)


# They send on request only.
ON_REQUEST = {"glucose", "o2ring", "contec", "omron", "omron_modern"}


@pytest.mark.parametrize("model", [name for name in CONNECTABLE if name not in ON_REQUEST])
async def test_recorded_notifications_arrive(
    bench: Bench, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before its user has given consent, a user scale notifies only the time.
    monkeypatch.setattr("healthd.simulator.health.clock._PERIOD_S", 0.05)
    async with asyncio.timeout(20):
        sent: list[Sent] = []
        arrived: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

        def deliver(characteristic: BleakGATTCharacteristic, value: bytearray) -> None:
            arrived.put_nowait((characteristic.uuid, bytes(value)))

        device = await probe(bench, model, period=0.05, record=sent.append)
        for characteristic in device.client.services.characteristics.values():
            if {"notify", "indicate"} & set(characteristic.properties):
                await device.client.start_notify(characteristic, deliver)
        values = [await arrived.get() for _ in range(5)]
    for uuid in {uuid for uuid, _ in values}:
        received = [value for source, value in values if source == uuid]
        recorded = [record.payload for record in sent if record.uuid == uuid]
        assert received == recorded[: len(received)]


def entry(**fields: Any) -> PeripheralSettings:
    return PeripheralSettings.model_validate({"id": "one", **fields})


WITH_SERVICE = [each for each in registry.load().profiles.values() if each.service]


@pytest.mark.parametrize("profile", WITH_SERVICE, ids=lambda each: each.name)
async def test_service_in_the_settings_is_advertised(bench: Bench, profile: Profile) -> None:
    async with asyncio.timeout(10):
        made = peripherals_for([entry(service=profile.name)], random.Random(1))
        await bench.air.add(made["one"])
        await made["one"].appear()
        device = await BleakScanner.find_device_by_filter(
            lambda _, data: (
                normalize_uuid_str(profile.service) in data.service_uuids
                or is_named(data.local_name, profile.names)
            ),
            backend=bench.air.scanner_backend,
        )
        assert device is not None
        assert device.address == made["one"].address


async def test_entry_with_a_name_or_an_address_gets_a_strap(bench: Bench) -> None:
    async with asyncio.timeout(10):
        wanted = [
            entry(id="named", name="Polar H10*"),
            entry(id="addressed", address="C0:00:00:00:00:77"),
        ]
        made = peripherals_for(wanted, random.Random(1))
        assert made["named"].name == "Polar H10"
        assert made["addressed"].address == "C0:00:00:00:00:77"
        for peripheral in made.values():
            await bench.air.add(peripheral)
            await peripheral.appear()
            client = await bench.connect(peripheral.name)
            assert client.services.get_characteristic("2a37") is not None
            await client.disconnect()


@pytest.mark.parametrize("found_by", [{"name": "Polar H10*"}, {"service": "heart_rate"}])
async def test_entry_with_raw_signals_gets_an_h10(bench: Bench, found_by: dict[str, str]) -> None:
    async with asyncio.timeout(10):
        made = peripherals_for([entry(**found_by, pmd=["ecg"])], random.Random(1))
        await bench.air.add(made["one"])
        await made["one"].appear()
        client = await bench.connect(made["one"].name)
        assert client.services.get_service("fb005c80-02e7-f387-1cad-8acd2d8df0c8") is not None
