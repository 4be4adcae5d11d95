"""The catalogue, and the peripherals that are made of it for given settings."""

import asyncio
import random
from typing import Any

import pytest
from bleak import BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.uuids import normalize_uuid_str

from healthd.settings.model import PeripheralSettings
from healthd.simulator.catalogue import CATALOGUE, chosen
from healthd.simulator.names import NAMES
from healthd.simulator.part import Sent
from healthd.simulator.world import peripherals_for
from tests.unit.simulator.bench import Bench
from tests.unit.simulator.probe import probe


def test_the_names_that_help_shows_are_those_there_are() -> None:
    assert tuple(CATALOGUE) == NAMES


def test_models_are_chosen_once_each_and_in_order() -> None:
    assert [one.name for one in chosen(["rower, glucose", "heart_rate", "rower"])] == [
        "rower",
        "glucose",
        "heart_rate",
    ]
    assert chosen([]) == []


@pytest.mark.parametrize("names", [["rower", "rowr"], [""], ["rower,"]])
def test_an_unknown_name_is_told_with_those_that_are_known(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"is none of heart_rate, .*, treadmill, "):
        chosen(names)


# It says nothing before it is asked.
SILENT = {"glucose"}


@pytest.mark.parametrize("model", [name for name in NAMES if name not in SILENT])
async def test_what_a_model_records_is_what_arrives(bench: Bench, model: str) -> None:
    async with asyncio.timeout(20):
        sent: list[Sent] = []
        arrived: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

        def deliver(characteristic: BleakGATTCharacteristic, value: bytearray) -> None:
            arrived.put_nowait((characteristic.uuid, bytes(value)))

        device = await probe(bench, model, period=0.05, record=sent.append)
        for one in device.client.services.characteristics.values():
            if {"notify", "indicate"} & set(one.properties):
                await device.client.start_notify(one, deliver)
        values = [await arrived.get() for _ in range(5)]
    for uuid in {uuid for uuid, _ in values}:
        heard = [value for of, value in values if of == uuid]
        assert heard == [one.payload for one in sent if one.uuid == uuid][: len(heard)]


def entry(**fields: Any) -> PeripheralSettings:
    return PeripheralSettings.model_validate({"id": "one", **fields})


@pytest.mark.parametrize(
    ("service", "uuid"),
    [
        ("heart_rate", "180d"),
        ("cycling_power", "1818"),
        ("fitness_machine", "1826"),
        ("glucose", "1808"),
        ("polar_pmd", "fb005c80-02e7-f387-1cad-8acd2d8df0c8"),
    ],
)
async def test_a_service_in_the_settings_is_advertised(
    bench: Bench, service: str, uuid: str
) -> None:
    async with asyncio.timeout(10):
        made = peripherals_for([entry(service=service)], random.Random(1))
        await bench.air.add(made["one"])
        await made["one"].appear()
        device = await BleakScanner.find_device_by_filter(
            lambda _, data: normalize_uuid_str(uuid) in data.service_uuids,
            backend=bench.air.scanner_backend,
        )
        assert device is not None
        assert device.address == made["one"].address


async def test_who_looks_for_a_name_or_an_address_gets_a_strap(bench: Bench) -> None:
    async with asyncio.timeout(10):
        wanted = [
            entry(id="named", name="Polar H10*"),
            entry(id="addressed", address="C0:00:00:00:00:77"),
        ]
        made = peripherals_for(wanted, random.Random(1))
        assert made["named"].name == "Polar H10"
        assert made["addressed"].address == "C0:00:00:00:00:77"
        for one in made.values():
            await bench.air.add(one)
            await one.appear()
            client = await bench.connect(one.name)
            assert client.services.get_characteristic("2a37") is not None
            await client.disconnect()


@pytest.mark.parametrize("found_by", [{"name": "Polar H10*"}, {"service": "heart_rate"}])
async def test_who_wants_raw_signals_gets_an_h10(bench: Bench, found_by: dict[str, str]) -> None:
    async with asyncio.timeout(10):
        made = peripherals_for([entry(**found_by, pmd=["ecg"])], random.Random(1))
        await bench.air.add(made["one"])
        await made["one"].appear()
        client = await bench.connect(made["one"].name)
        assert client.services.get_service("fb005c80-02e7-f387-1cad-8acd2d8df0c8") is not None
