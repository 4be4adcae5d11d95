"""Faults of a peripheral: drop the link, vanish, go silent, appear late."""

import asyncio

import pytest
from bleak import BleakClient
from bumble.controller import Controller
from bumble.device import Advertisement, Device, DeviceConfiguration
from bumble.hci import HCI_ErrorCode
from bumble.host import Host
from bumble.link import LocalLink
from bumble.ll import AdvertisingPdu

from healthd.simulator.air import CENTRAL_ADDRESS
from healthd.simulator.controller import VirtualController
from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from tests.unit.simulator.bench import Bench, Inbox, Puppet


async def subscribe(bench: Bench, puppet: Puppet, inbox: Inbox) -> BleakClient:
    client = await bench.connect(puppet.name)
    await client.start_notify("2a37", lambda _, value: inbox.put_nowait(bytes(value)))
    await puppet.peripheral.subscribed.wait()
    return client


async def test_after_a_drop_a_new_client_can_connect_and_subscribe(
    bench: Bench, inbox: Inbox
) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        for payload in (b"first", b"second", b"third"):
            await subscribe(bench, puppet, inbox)
            puppet.queue.put_nowait(payload)
            assert await inbox.get() == payload
            await puppet.peripheral.drop()
            assert not puppet.peripheral.linked.is_set()


async def test_peripheral_advertises_again_after_a_disconnect(bench: Bench) -> None:
    async with asyncio.timeout(10):
        await bench.puppet()
        for _ in range(3):
            client = await bench.connect("Puppet")
            await client.disconnect()


class Immediate(LocalLink):
    """A medium without delay: a link is there before the host knows that it advertises."""

    def send_advertising_pdu(self, sender_controller: Controller, packet: AdvertisingPdu) -> None:
        for controller in tuple(self.controllers):
            if controller is not sender_controller:
                controller.on_ll_advertising_pdu(packet)


async def test_peripheral_that_is_linked_at_its_first_advertisement_advertises_again() -> None:
    # As the kernel does after a failed link: it connects again as soon as it hears the peripheral.
    ether, peripheral = Immediate(), Puppet().peripheral
    controller = VirtualController("central", link=ether)
    host = Host(controller_source=controller, controller_sink=controller)
    central = Device(config=DeviceConfiguration(address=CENTRAL_ADDRESS), host=host)
    async with asyncio.timeout(10):
        await central.power_on()
        await peripheral.power_on(ether)
        await peripheral.appear()
        for _ in range(20):
            connecting = asyncio.create_task(central.connect_le(peripheral.address, timeout=None))
            await peripheral.linked.wait()
            await connecting
            controller.hang_up_all(HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)
            await peripheral.unlinked.wait()
        await peripheral.power_off()
        await central.power_off()


async def test_vanished_peripheral_does_not_advertise_until_it_appears(
    bench: Bench, inbox: Inbox
) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        client = await subscribe(bench, puppet, inbox)
        await puppet.peripheral.vanish()
        received: list[Advertisement] = []
        bench.air.start_scan(received.append)
        other = await bench.puppet(name="Other", address="C0:00:00:00:00:0B")
        await bench.find("Other")
        await other.peripheral.vanish()
        assert {item.address.to_string(False) for item in received} == {"C0:00:00:00:00:0B"}
        assert not client.is_connected
        await puppet.peripheral.appear()
        await subscribe(bench, puppet, inbox)
        puppet.queue.put_nowait(b"back")
        assert await inbox.get() == b"back"


async def test_silent_peripheral_responds_but_sends_no_notifications(
    bench: Bench, inbox: Inbox
) -> None:
    async with asyncio.timeout(10):
        sent: list[Sent] = []
        puppet = await bench.puppet(record=sent.append)
        client = await subscribe(bench, puppet, inbox)
        puppet.peripheral.go_silent()
        await puppet.peripheral.send(puppet.notifying, b"discarded")
        assert await client.read_gatt_char("2a00") == b"Puppet"
        assert client.is_connected
        puppet.peripheral.resume()
        await puppet.peripheral.send(puppet.notifying, b"sent")
        assert await inbox.get() == b"sent"
    assert [record.payload for record in sent] == [b"sent"]


async def test_events_follow_the_state_of_the_link(bench: Bench, inbox: Inbox) -> None:
    async with asyncio.timeout(10):
        puppet = await bench.puppet()
        peripheral = puppet.peripheral
        assert peripheral.unlinked.is_set()
        assert not peripheral.linked.is_set()
        client = await subscribe(bench, puppet, inbox)
        assert peripheral.linked.is_set()
        assert not peripheral.unlinked.is_set()
        await client.stop_notify("2a37")
        assert not peripheral.subscribed.is_set()
        await client.disconnect()
        await peripheral.unlinked.wait()
        assert not peripheral.linked.is_set()


async def test_notifications_without_a_subscription_are_not_recorded(bench: Bench) -> None:
    async with asyncio.timeout(10):
        sent: list[Sent] = []
        puppet = await bench.puppet(record=sent.append)
        await puppet.peripheral.send(puppet.notifying, b"unlinked")
        await bench.connect("Puppet")
        await puppet.peripheral.linked.wait()
        await puppet.peripheral.send(puppet.notifying, b"unsubscribed")
    assert sent == []


async def test_recorded_notifications_arrive_before_a_drop(bench: Bench, inbox: Inbox) -> None:
    async with asyncio.timeout(10):
        sent: list[Sent] = []
        puppet = await bench.puppet(record=sent.append)
        await subscribe(bench, puppet, inbox)
        for number in range(50):
            puppet.queue.put_nowait(bytes([number]))
            if number == 30:
                await asyncio.sleep(0)
        await puppet.peripheral.drop()
        await bench.connect("Puppet")
    received = [inbox.get_nowait() for _ in range(inbox.qsize())]
    assert received == [record.payload for record in sent]


async def test_unpowered_peripheral_raises_an_error() -> None:
    with pytest.raises(RuntimeError, match="add it to an Air"):
        await VirtualPeripheral("Unpowered", "C0:00:00:00:00:02", []).appear()
