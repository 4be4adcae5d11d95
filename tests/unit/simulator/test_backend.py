"""bleak on the simulated backend: GATT, notifications, and the end of a link."""

import asyncio
import random
from pathlib import Path

import pytest
from bleak import BleakClient
from bleak.exc import BleakError, BleakGATTProtocolError
from bleak_retry_connector import BleakNotFoundError, establish_connection

from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import SyntheticHeart, chest_strap
from tests.unit.simulator.bench import Bench, Inbox, characteristic

BASE = "0000{}-0000-1000-8000-00805f9b34fb"


@pytest.fixture
async def strap(bench: Bench) -> VirtualPeripheral:
    strap = chest_strap("Strap", "C0:00:00:00:00:02", SyntheticHeart(random.Random(1)), period=0.01)
    await bench.air.add(strap)
    await strap.appear()
    return strap


async def test_services_are_discovered(bench: Bench, strap: VirtualPeripheral) -> None:
    async with asyncio.timeout(10):
        client = await bench.connect("Strap")
    assert [service.uuid for service in client.services] == [
        BASE.format(number) for number in ("1800", "1801", "180d", "180f", "180a")
    ]
    measurement = characteristic(client, "2a37")
    assert measurement.properties == ["notify"]
    assert measurement.service_uuid == BASE.format("180d")
    assert [descriptor.uuid for descriptor in measurement.descriptors] == [BASE.format("2902")]
    assert characteristic(client, "2a19").properties == ["notify", "read"]
    assert characteristic(client, "2a39").properties == ["write"]
    assert client.mtu_size == 517
    assert measurement.max_write_without_response_size == 514
    assert client.name == "Strap"


async def test_only_requested_services_are_discovered(
    bench: Bench, strap: VirtualPeripheral
) -> None:
    async with asyncio.timeout(10):
        client = await bench.connect("Strap", services=["180f"])
    assert [service.uuid for service in client.services] == [BASE.format("180f")]


async def test_read_characteristics_and_descriptors(bench: Bench, strap: VirtualPeripheral) -> None:
    async with asyncio.timeout(10):
        client = await bench.connect("Strap")
        assert await client.read_gatt_char("2a38") == b"\x01"
        assert await client.read_gatt_char("2a19") == bytes([95])
        assert await client.read_gatt_char("2a29") == b"healthd"
        cccd = characteristic(client, "2a37").descriptors[0]
        assert await client.read_gatt_descriptor(cccd) == b"\x00\x00"
        await client.start_notify("2a37", lambda _characteristic, _value: None)
        assert await client.read_gatt_descriptor(cccd) == b"\x01\x00"
        await client.stop_notify("2a37")
        assert await client.read_gatt_descriptor(cccd) == b"\x00\x00"


async def test_att_errors_have_their_code(bench: Bench, strap: VirtualPeripheral) -> None:
    async with asyncio.timeout(10):
        client = await bench.connect("Strap")
        await client.write_gatt_char("2a39", b"\x01", response=True)
        with pytest.raises(BleakGATTProtocolError) as caught:
            await client.write_gatt_char("2a39", b"\x02", response=True)
    assert caught.value.code == 0x80


async def test_notifications_arrive_unchanged_and_in_order(bench: Bench, inbox: Inbox) -> None:
    async with asyncio.timeout(10):
        sent: list[Sent] = []
        puppet = await bench.puppet(record=sent.append)
        client = await bench.connect("Puppet")
        await client.start_notify("2a37", lambda _, value: inbox.put_nowait(bytes(value)))
        await puppet.peripheral.subscribed.wait()
        payloads = [bytes([number]) for number in range(200)]
        for payload in payloads:
            puppet.queue.put_nowait(payload)
        assert [await inbox.get() for _ in payloads] == payloads
    assert [record.payload for record in sent] == payloads
    assert {record.uuid for record in sent} == {BASE.format("2a37")}
    assert [record.at for record in sent] == sorted(record.at for record in sent)


async def test_indications_are_confirmed(bench: Bench, inbox: Inbox) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        client = await bench.connect("Puppet")
        await client.start_notify("2a1c", lambda _, value: inbox.put_nowait(bytes(value)))
        for payload in (b"one", b"two"):
            puppet.queue.put_nowait(payload)
            assert await inbox.get() == payload


async def test_new_callback_replaces_the_old_one(bench: Bench, inbox: Inbox) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        client = await bench.connect("Puppet")
        await client.start_notify("2a37", lambda _, value: pytest.fail("old callback was called"))
        await client.start_notify("2a37", lambda _, value: inbox.put_nowait(bytes(value)))
        puppet.queue.put_nowait(b"x")
        assert await inbox.get() == b"x"


async def test_subscribing_to_a_characteristic_without_notifications_fails(
    bench: Bench, strap: VirtualPeripheral
) -> None:
    async with asyncio.timeout(10):
        client = await bench.connect("Strap")
        with pytest.raises(BleakError):
            await client.start_notify("2a38", lambda _, value: None)


@pytest.mark.parametrize("how", ["drop", "vanish", "disconnect"])
async def test_end_of_link_is_reported_once(bench: Bench, how: str) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        ended: asyncio.Queue[BleakClient] = asyncio.Queue()
        client = await bench.connect("Puppet", disconnected_callback=ended.put_nowait)
        await (client.disconnect() if how == "disconnect" else getattr(puppet.peripheral, how)())
        assert await ended.get() is client
        assert not client.is_connected
        await client.disconnect()
        await client.disconnect()
        await puppet.peripheral.unlinked.wait()
        with pytest.raises(BleakError):
            await client.read_gatt_char("2a38")
        with pytest.raises(BleakError):
            _ = client.mtu_size
    assert ended.empty()


@pytest.mark.parametrize("how", ["drop", "vanish"])
async def test_link_loss_fails_all_pending_reads(bench: Bench, how: str) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        client = await bench.connect("Puppet")
        reads = [asyncio.create_task(client.read_gatt_char("2a38")) for _ in range(3)]
        await puppet.read_requested.wait()
        await getattr(puppet.peripheral, how)()
        for read in reads:
            with pytest.raises(BleakError):
                await read
        puppet.may_respond.set()


async def test_late_response_to_a_cancelled_read_is_ignored(bench: Bench) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        client = await bench.connect("Puppet")
        read = asyncio.create_task(client.read_gatt_char("2a38"))
        await puppet.read_requested.wait()
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
        next_read = asyncio.create_task(client.read_gatt_char("2a00"))
        puppet.may_respond.set()
        assert await next_read == b"Puppet"


async def test_timeout_of_a_read_raises_timeout_error(bench: Bench) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        client = await bench.connect("Puppet")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.read_gatt_char("2a38")
        puppet.may_respond.set()


async def test_no_notification_after_disconnect(bench: Bench, inbox: Inbox) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        client = await bench.connect("Puppet")
        await client.start_notify("2a37", lambda _, value: inbox.put_nowait(bytes(value)))
        puppet.queue.put_nowait(b"before")
        assert await inbox.get() == b"before"
        puppet.queue.put_nowait(b"meanwhile")
        await client.disconnect()
        received = inbox.qsize()
        await puppet.peripheral.unlinked.wait()
        assert not puppet.peripheral.subscribed.is_set()
        await (await bench.connect("Puppet")).read_gatt_char("2a00")
        assert inbox.qsize() == received


async def test_connecting_a_connected_client_fails(bench: Bench) -> None:
    async with asyncio.timeout(10):
        await bench.puppet()
        client = await bench.connect("Puppet")
        with pytest.raises(BleakError, match="already connected"):
            await client.connect()


async def test_establish_connection_does_not_use_dbus(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    callers: list[asyncio.StreamWriter] = []
    bus = tmp_path / "bus"
    server = await asyncio.start_unix_server(lambda _, writer: callers.append(writer), bus)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={bus}")
    async with asyncio.timeout(10), server:
        puppet = await bench.puppet()
        device = await bench.find("Puppet")
        ended = asyncio.Event()
        client = await establish_connection(
            BleakClient,
            device,
            "Puppet",
            disconnected_callback=lambda _client: ended.set(),
            max_attempts=1,
            backend=bench.air.client_backend,
        )
        assert client.is_connected
        await puppet.peripheral.vanish()
        await ended.wait()
        monkeypatch.setattr("bleak_retry_connector.BLEAK_TIMEOUT", 0.3)
        with pytest.raises(BleakNotFoundError):
            await establish_connection(
                BleakClient, device, "Puppet", max_attempts=1, backend=bench.air.client_backend
            )
    assert callers == []
