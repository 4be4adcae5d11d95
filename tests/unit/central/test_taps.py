"""What a capture is given of one peripheral, over real GATT."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.service import BleakGATTService
from bumble.att import ATT_Error
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import CharacteristicValue, Service

from healthd.central.faults import LinkFault
from healthd.central.link import Link
from healthd.central.radio import Radio
from healthd.central.tap import Advertised, Answer, Mode, Opened, services_of, tapped
from healthd.gateway.entry import match_for
from healthd.settings.model import PeripheralSettings
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from tests.support.stage import BOUND_S, News, Stage, address, by_address, readable


class Seen(News):
    """A tap that keeps all that it sees; of a link, it is the tap as well."""

    def __init__(self) -> None:
        super().__init__()
        self.advertised: list[Advertised] = []
        self.opened: list[Opened] = []
        self.failed: list[tuple[str, str]] = []
        self.values: list[tuple[str, bytes]] = []
        self.reads: list[tuple[str, bytes | None, Answer]] = []
        self.written: list[tuple[str, bytes, bool, Answer]] = []
        self.subscribed: list[tuple[str, Mode, Answer]] = []
        self.ended: list[str | None] = []

    def on_advertisement(self, advertised: Advertised) -> None:
        self.advertised.append(advertised)
        self.changed()

    def on_connect_failed(self, address: str, error: str, took_s: float) -> None:
        assert took_s >= 0
        self.failed.append((address, error))

    def on_connected(self, opened: Opened) -> "Seen":
        self.opened.append(opened)
        return self

    def on_value(self, uuid: str, value: bytes) -> None:
        self.values.append((uuid, value))
        self.changed()

    def on_read(self, uuid: str, value: bytes | None, answer: Answer) -> None:
        self.reads.append((uuid, value, answer))

    def on_written(self, uuid: str, value: bytes, response: bool, answer: Answer) -> None:
        self.written.append((uuid, value, response, answer))

    def on_subscribed(self, uuid: str, mode: Mode, answer: Answer) -> None:
        self.subscribed.append((uuid, mode, answer))

    def on_disconnected(self, reason: str | None) -> None:
        self.ended.append(reason)
        self.changed()


@asynccontextmanager
async def linked(stage: Stage, radio: Radio, entry: PeripheralSettings) -> AsyncGenerator[Link]:
    match = match_for(entry, stage.registry)
    async with asyncio.timeout(BOUND_S), radio.found(match) as found, radio.link(found) as link:
        yield link


class Got(News):
    """The values that a subscription has passed on."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[bytes] = []

    def take(self, value: bytes) -> None:
        self.values.append(value)
        self.changed()


async def test_a_link_from_its_advertisement_to_its_end(stage: Stage) -> None:
    await stage.strap("Strap")
    seen, got, entry = Seen(), Got(), by_address(1)
    async with stage.radio(entry) as radio:
        radio.tap(entry.id, seen)
        async with linked(stage, radio, entry) as link:
            await link.subscribe("2a37", got.take)
            name = await link.read("2a29")
            await seen.until(lambda: len(seen.values) >= 2)
    (opened,) = seen.opened
    assert opened.address == address(1)
    assert opened.mtu == 517
    assert opened.took_s is not None
    first = seen.advertised[0]
    assert (first.address, first.name, first.services) == (address(1), "Strap", ("180d",))
    assert seen.values == [("2a37", value) for value in got.values]
    assert [(uuid, value, answer.error) for uuid, value, answer in seen.reads] == [
        ("2a29", name, None)
    ]
    assert [(uuid, mode) for uuid, mode, _ in seen.subscribed] == [("2a37", "notify")]
    assert seen.ended == ["healthd closed it"]
    assert seen.failed == []


async def test_a_link_that_exists_is_joined_and_left(stage: Stage) -> None:
    strap = await stage.strap("Strap")
    seen, got, entry = Seen(), Got(), by_address(1)
    async with stage.radio(entry) as radio, linked(stage, radio, entry) as link:
        await link.subscribe("2a37", got.take)
        radio.tap(entry.id, seen)
        assert [opened.took_s for opened in seen.opened] == [None]
        await seen.until(lambda: seen.values)
        radio.tap(entry.id, None)
        count, wanted = len(seen.values), len(got.values) + 3
        await got.until(lambda: len(got.values) >= wanted)
        assert len(seen.values) == count
        radio.tap(entry.id, seen)
        await strap.drop()
        await seen.until(lambda: seen.ended)
    assert seen.ended == ["the link ended"]


async def test_a_capture_that_begins_while_a_link_is_made(stage: Stage) -> None:
    seen, entry = Seen(), by_address(1)
    async with stage.radio(entry) as radio, asyncio.timeout(BOUND_S):
        match = match_for(entry, stage.registry)
        await stage.strap("Strap")
        async with radio.found(match) as found:
            making = radio.link(found)
            opening = asyncio.create_task(making.__aenter__())
            await stage.traffic.until(lambda: stage.traffic.connecting)
            radio.tap(entry.id, seen)
            await opening
            await making.__aexit__(None, None, None)
    assert [opened.address for opened in seen.opened] == [address(1)]
    assert seen.ended == ["healthd closed it"]


async def test_a_link_that_is_not_made(stage: Stage) -> None:
    seen, entry = Seen(), by_address(1)
    async with stage.radio(entry) as radio, asyncio.timeout(BOUND_S):
        radio.tap(entry.id, seen)
        strap = await stage.strap("Strap")
        async with radio.found(match_for(entry, stage.registry)) as found:
            await strap.vanish()
            making = radio.link(found)
            opening = asyncio.create_task(making.__aenter__())
            await stage.traffic.until(lambda: stage.traffic.connecting)
            opening.cancel()
            await asyncio.wait({opening})
    assert seen.failed == [(address(1), "healthd gave up waiting")]
    assert seen.opened == []


async def test_what_a_device_refuses(stage: Stage) -> None:
    def refuse(_: Connection, *_value: Any) -> bytes:
        raise ATT_Error(0x80)

    held = readable(0x2A29, CharacteristicValue(read=refuse))
    part = Part(Service(UUID.from_16_bits(0x180A), [held]), advertised=True)
    await stage.add(VirtualPeripheral("Locked", address(1), [part]))
    seen, entry = Seen(), by_address(1)
    async with stage.radio(entry) as radio:
        radio.tap(entry.id, seen)
        async with linked(stage, radio, entry) as link:
            with pytest.raises(LinkFault) as refused:
                await link.read("2a29")
    ((uuid, value, answer),) = seen.reads
    assert (uuid, value, answer.error) == ("2a29", None, str(refused.value))
    assert answer.code == refused.value.att_error


async def test_a_peripheral_without_a_tap_is_not_reported(stage: Stage) -> None:
    await stage.strap("Strap")
    seen, entry = Seen(), by_address(1)
    async with stage.radio(entry) as radio:
        radio.tap("another", seen)
        async with linked(stage, radio, entry) as link:
            assert link.tap is None
    assert (seen.advertised, seen.opened) == ([], [])


async def test_a_request_that_is_given_up_is_reported() -> None:
    noted: list[tuple[Any, Answer]] = []
    task = asyncio.create_task(
        tapped(asyncio.Event().wait(), lambda value, answer: noted.append((value, answer)))
    )
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    ((value, answer),) = noted
    assert (value, answer.error) == (None, "healthd gave up waiting")


@pytest.mark.parametrize(("on_bluez", "value_handle"), [(True, 14), (False, 13)])
def test_handles_are_those_of_values(on_bluez: bool, value_handle: int) -> None:
    # As bleak makes them from objects such as …/service000c/char000d/desc000f.
    service = BleakGATTService((), 12, "0000180d-0000-1000-8000-00805f9b34fb")
    measurement = BleakGATTCharacteristic(
        (), 13, "00002a37-0000-1000-8000-00805f9b34fb", ["notify"], lambda: 20, service
    )
    measurement.add_descriptor(
        BleakGATTDescriptor((), 15, "00002902-0000-1000-8000-00805f9b34fb", measurement)
    )
    service.add_characteristic(measurement)
    assert services_of([service], on_bluez=on_bluez) == [
        {
            "uuid": "180d",
            "handle": 12,
            "characteristics": [
                {
                    "uuid": "2a37",
                    "handle": value_handle,
                    "properties": ("notify",),
                    "descriptors": [{"uuid": "2902", "handle": 15}],
                }
            ],
        }
    ]
