"""Scanning and connecting: which peripherals are found, and that failed attempts do no harm."""

import asyncio
import random

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.exc import BleakBluetoothNotAvailableError, BleakDeviceNotFoundError, BleakError
from bumble.controller import Controller
from bumble.device import Advertisement
from bumble.hci import Address
from bumble.link import LocalLink
from bumble.ll import AdvExtInd

from healthd.simulator.air import Air
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import SyntheticHeart, chest_strap
from tests.unit.simulator.bench import Bench

HEART_RATE = "0000180d-0000-1000-8000-00805f9b34fb"


async def test_scan_reports_name_address_and_services(bench: Bench) -> None:
    async with asyncio.timeout(10):
        await bench.puppet(name="Polar H10 1", address="C0:00:00:00:00:07")
        async with BleakScanner(backend=bench.air.scanner_backend) as scanner:
            device, data = await anext(scanner.advertisement_data())
    assert device.address == "C0:00:00:00:00:07"
    assert device.name == data.local_name == "Polar H10 1"
    assert data.service_uuids == [HEART_RATE]
    assert data.rssi < 0
    assert "path" not in device.details


async def test_scan_by_service_ignores_other_peripherals(bench: Bench) -> None:
    async with asyncio.timeout(10):
        await bench.puppet()
        wanted = BleakScanner(service_uuids=[HEART_RATE], backend=bench.air.scanner_backend)
        others = BleakScanner(
            service_uuids=["00001809-0000-1000-8000-00805f9b34fb"],
            backend=bench.air.scanner_backend,
        )
        async with others, wanted:
            async for device, _ in wanted.advertisement_data():
                assert device.name == "Puppet"
                break
    assert others.discovered_devices == []


async def test_added_peripheral_does_not_advertise_before_it_appears(bench: Bench) -> None:
    async with asyncio.timeout(10):
        late = chest_strap("Late", "C0:00:00:00:00:02", SyntheticHeart(random.Random(1)))
        await bench.air.add(late)
        await bench.puppet()
        async with BleakScanner(backend=bench.air.scanner_backend) as scanner:
            received: list[str | None] = []
            async for device, _ in scanner.advertisement_data():
                received.append(device.name)
                if received.count("Puppet") == 3:
                    await late.appear()
                if device.name == "Late":
                    break
    assert "Late" not in received[:3]


async def test_connecting_to_a_vanished_peripheral_times_out_and_does_not_block_others(
    bench: Bench,
) -> None:
    async with asyncio.timeout(10):
        gone = await bench.puppet(name="Gone", address="C0:00:00:00:00:0A")
        there = await bench.puppet(name="There", address="C0:00:00:00:00:0B")
        client = await bench.client("Gone")
        await gone.peripheral.vanish()
        waiting = asyncio.create_task(client.connect(timeout=0.5))
        other = await bench.connect("There")
        assert other.is_connected
        assert not waiting.done()
        with pytest.raises(TimeoutError):
            await waiting
        await there.peripheral.linked.wait()
        await gone.peripheral.appear()
        assert (await bench.connect("Gone")).is_connected


async def test_address_that_never_advertised_is_not_found(bench: Bench) -> None:
    client = BleakClient("C0:00:00:00:00:99", backend=bench.air.client_backend, timeout=0.3)
    with pytest.raises(BleakDeviceNotFoundError):
        await client.connect()


async def test_connecting_by_address_only(bench: Bench) -> None:
    async with asyncio.timeout(10):
        await bench.puppet()
        client = BleakClient("C0:00:00:00:00:01", backend=bench.air.client_backend)
        await client.connect()
    assert client.is_connected


@pytest.mark.parametrize("advertisements", [0, 1, 2])
@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8, 30])
async def test_adapter_works_after_a_cancelled_connect(
    bench: Bench, advertisements: int, turns: int
) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        client = await bench.client("Puppet")
        async with BleakScanner(backend=bench.air.scanner_backend) as scanner:
            attempt = asyncio.create_task(client.connect())
            events = scanner.advertisement_data()
            for _ in range(advertisements):
                # The second one creates the link, and then the peripheral stops advertising.
                await asyncio.wait([asyncio.ensure_future(anext(events)), attempt], timeout=0.2)
            for _ in range(turns):  # Cancel at a different step of connecting in each case.
                await asyncio.sleep(0)
            attempt.cancel()
            await asyncio.wait([attempt])
        if attempt.cancelled():
            assert not client.is_connected
        else:
            await client.disconnect()
        await puppet.peripheral.unlinked.wait()
        again = await bench.connect("Puppet")
        assert again.is_connected
        assert puppet.peripheral.linked.is_set()


async def test_connect_cancelled_between_controller_and_host(bench: Bench) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        client = await bench.client("Puppet")
        attempt = asyncio.create_task(client.connect())
        advertisements = 0

        def cancel_at_the_second(_advertisement: Advertisement) -> None:
            # The controller has already answered this advertisement; the host is not notified yet.
            nonlocal advertisements
            advertisements += 1
            if advertisements == 2:
                attempt.cancel()

        bench.air.start_scan(cancel_at_the_second)
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await puppet.peripheral.unlinked.wait()
        assert (await bench.connect("Puppet")).is_connected


class LateAdvertiser(VirtualPeripheral):
    """A peripheral whose advertisements arrive after it has stopped advertising."""

    async def power_on(self, ether: LocalLink) -> None:
        self.ether = ether
        self.sender = Controller("late")
        await super().power_on(ether)

    def advertise_once(self) -> None:
        pdu = AdvExtInd(Address(self.address), b"", sid=0)
        self.ether.send_advertising_pdu(self.sender, pdu)


async def test_last_advertisement_creates_no_one_sided_link(bench: Bench) -> None:
    async with asyncio.timeout(10):
        late = LateAdvertiser("Late", "C0:00:00:00:00:0E", [])
        await bench.air.add(late)
        client = BleakClient(late.address, backend=bench.air.client_backend)
        attempt = asyncio.create_task(client.connect())
        for _ in range(10):
            late.advertise_once()
            for _ in range(10):
                await asyncio.sleep(0)
        assert not attempt.done()
        assert not late.linked.is_set()
        await late.appear()
        await attempt
        await late.linked.wait()
        assert (await client.read_gatt_char("2a00")) == b"Late"


async def test_peripheral_that_appears_and_vanishes_creates_no_one_sided_link(bench: Bench) -> None:
    async with asyncio.timeout(20):
        puppet = await bench.puppet()
        client = await bench.client("Puppet")
        await puppet.peripheral.vanish()
        for turns in range(40):
            attempt = asyncio.create_task(client.connect())
            # Each appearance advertises immediately. The central hears the first advertisement and
            # answers the second; then the peripheral vanishes, a little later in every round.
            for pause in (20, turns):
                await puppet.peripheral.appear()
                for _ in range(pause):
                    await asyncio.sleep(0)
                await puppet.peripheral.vanish()
            attempt.cancel()
            await asyncio.wait([attempt])
            assert not client.is_connected
        await puppet.peripheral.appear()
        puppet.may_respond.set()
        steady = await bench.connect("Puppet")
        assert await steady.read_gatt_char("2a38") == b"late"


async def test_sixteen_peripherals_at_once(bench: Bench) -> None:
    async with asyncio.timeout(20):
        received: dict[str, list[bytes]] = {}

        async def follow(number: int) -> None:
            strap = chest_strap(
                f"Strap {number}",
                f"C0:00:00:00:01:{number:02X}",
                SyntheticHeart(random.Random(number)),
                period=0.02,
            )
            await bench.air.add(strap)
            await strap.appear()
            client = await bench.connect(strap.name)
            done = asyncio.Event()
            values = received.setdefault(strap.name, [])

            def on_value(_characteristic: BleakGATTCharacteristic, value: bytearray) -> None:
                values.append(bytes(value))
                if len(values) == 20:
                    done.set()

            await client.start_notify("2a37", on_value)
            await done.wait()

        await asyncio.gather(*(follow(number) for number in range(16)))
    assert len(received) == 16


async def test_power_off_ends_links_and_pending_connections() -> None:
    async with asyncio.timeout(10):
        ended = asyncio.Event()
        async with Air() as air:
            strap = chest_strap("Strap", "C0:00:00:00:00:02", SyntheticHeart(random.Random(1)))
            await air.add(strap)
            await strap.appear()
            device = await Bench(air).find("Strap")
            client = BleakClient(device, lambda _client: ended.set(), backend=air.client_backend)
            await client.connect()
            absent = BleakClient("C0:00:00:00:00:99", backend=air.client_backend)
            waiting = asyncio.create_task(absent.connect())
            await asyncio.sleep(0)
        await ended.wait()
        assert not client.is_connected
        with pytest.raises(BleakBluetoothNotAvailableError):
            await waiting
        with pytest.raises(BleakBluetoothNotAvailableError):
            await BleakScanner(backend=air.scanner_backend).start()
        with pytest.raises(BleakError):
            await client.connect()


@pytest.mark.parametrize("turns", range(0, 24, 2))
async def test_power_off_while_a_client_connects(turns: int) -> None:
    async with asyncio.timeout(10):
        async with Air() as air:
            puppet = await Bench(air).puppet()
            client = await Bench(air).client("Puppet")
            attempt = asyncio.create_task(client.connect())
            advertisements: asyncio.Queue[Advertisement] = asyncio.Queue()
            air.start_scan(advertisements.put_nowait)
            await advertisements.get()
            await advertisements.get()  # The controller answers this one.
            for _ in range(turns):
                await asyncio.sleep(0)
        with pytest.raises(BleakError):
            await attempt
        assert not client.is_connected
        assert not puppet.peripheral.linked.is_set()
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_radios_are_isolated_from_each_other(bench: Bench) -> None:
    async with asyncio.timeout(10), Air() as other:
        await bench.puppet()
        async with (
            BleakScanner(backend=other.scanner_backend) as isolated,
            BleakScanner(backend=bench.air.scanner_backend) as scanner,
        ):
            async for _ in scanner.advertisement_data():
                break
        assert isolated.discovered_devices == []
