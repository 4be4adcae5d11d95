"""Devices that only advertise, as bleak sees them on the virtual radio."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.scanner import AdvertisementData

from healthd.simulator import backend
from healthd.simulator.broadcaster import Broadcaster, Frame
from healthd.simulator.part import Sent
from tests.unit.simulator.bench import Bench

ADDRESS = "C0:00:00:00:00:08"
BASE = "0000{}-0000-1000-8000-00805f9b34fb"
ONLY_NEWEST: Any = {"filters": {"DuplicateData": True}}


async def _two() -> AsyncGenerator[Frame, None]:
    while True:
        yield {"manufacturer_data_0102": b"\x01"}
        await asyncio.sleep(0.01)
        yield {"service_data_181d": b"\x02"}
        await asyncio.sleep(0.01)


async def _heard(bench: Bench, number: int, **options: Any) -> list[AdvertisementData]:
    found: list[AdvertisementData] = []
    async with (
        asyncio.timeout(10),
        BleakScanner(backend=bench.air.scanner_backend, **options) as scanner,
    ):
        async for device, data in scanner.advertisement_data():
            assert device.address == ADDRESS
            found.append(data)
            if len(found) == number:
                break
    return found


async def test_data_that_was_recorded_is_heard(bench: Bench) -> None:
    sent: list[Sent] = []
    device = Broadcaster("Bike", ADDRESS, _two, services=["1826"], record=sent.append)
    await bench.air.add(device)
    async with asyncio.timeout(10):
        scanner = BleakScanner(backend=bench.air.scanner_backend, bluez=ONLY_NEWEST)
        async with scanner:
            await device.appear()
            found: list[AdvertisementData] = []
            async for _, data in scanner.advertisement_data():
                found.append(data)
                if len(found) == 4:
                    break
    assert [(data.manufacturer_data, data.service_data) for data in found] == [
        ({0x0102: b"\x01"}, {}),
        ({}, {BASE.format("181d"): b"\x02"}),
    ] * 2
    assert {data.local_name for data in found} == {"Bike"}
    assert found[0].service_uuids == [BASE.format("1826")]
    expected = [("manufacturer_data_0102", b"\x01"), ("service_data_181d", b"\x02")]
    assert [(each.uuid, each.payload) for each in sent[:4]] == expected * 2


async def test_without_the_filter_data_stays_as_in_bluez(bench: Bench) -> None:
    device = Broadcaster("Bike", ADDRESS, _two)
    await bench.air.add(device)
    await device.appear()
    for data in (await _heard(bench, 4))[1:]:
        assert data.manufacturer_data == {0x0102: b"\x01"}
        assert data.service_data == {BASE.format("181d"): b"\x02"}


async def test_a_name_comes_with_the_scan_response_and_stays(bench: Bench) -> None:
    device = Broadcaster("Bike", ADDRESS, _two, named_after=3)
    await bench.air.add(device)
    await asyncio.sleep(0)
    scanner = BleakScanner(backend=bench.air.scanner_backend, bluez=ONLY_NEWEST)
    names: list[str | None] = []
    async with asyncio.timeout(10), scanner:
        await device.appear()
        async for _, data in scanner.advertisement_data():
            names.append(data.local_name)
            if len(names) == 5:
                break
    assert names == [None] * 3 + ["Bike"] * 2


async def test_it_accepts_no_link(bench: Bench) -> None:
    device = Broadcaster("Bike", ADDRESS, _two)
    await bench.air.add(device)
    await device.appear()
    async with asyncio.timeout(20):
        client = BleakClient(
            await bench.find("Bike"), backend=bench.air.client_backend, timeout=0.5
        )
        with pytest.raises(TimeoutError):
            await client.connect()
        # The radio is as usable as before.
        await bench.puppet()
        await bench.connect("Puppet")
        assert len(await _heard_of(bench, ADDRESS)) == 1


async def test_it_is_silent_out_of_range(bench: Bench) -> None:
    sent: list[Sent] = []
    device = Broadcaster("Bike", ADDRESS, _two, record=sent.append)
    await bench.air.add(device)
    await device.appear()
    await device.appear()
    await _heard(bench, 2)
    await device.vanish()
    number = len(sent)
    await asyncio.sleep(0.1)
    assert len(sent) == number


async def test_an_advertisement_that_is_too_long_is_refused(bench: Bench) -> None:
    device = Broadcaster("Bike", ADDRESS, _two)
    with pytest.raises(RuntimeError, match="not powered on"):
        device.send({})
    await bench.air.add(device)
    with pytest.raises(ValueError, match="do not fit"):
        device.send({"manufacturer_data_0102": bytes(60)})


async def test_devices_are_forgotten_as_bluez_does(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(20), BleakScanner(backend=bench.air.scanner_backend) as scanner:
        await bench.puppet()
        for number in range(2000):
            bench.air.transmit(_address(number), bytes.fromhex("03ff4c00"))
            if number % 100 == 0:
                await asyncio.sleep(0)
        assert len(scanner.discovered_devices) > 200
        monkeypatch.setattr(backend, "FORGOTTEN_S", 0.3)
        async for _ in scanner.advertisement_data():
            if [device.name for device in scanner.discovered_devices] == ["Puppet"]:
                break


async def _heard_of(bench: Bench, address: str) -> list[str]:
    async with BleakScanner(backend=bench.air.scanner_backend) as scanner:
        async for device, _ in scanner.advertisement_data():
            if device.address == address:
                return [device.address]
    return []


def _address(number: int) -> str:
    return f"C0:00:00:01:{number >> 8:02X}:{number & 0xFF:02X}"
