"""Faults of a peripheral: drop the link, vanish, go silent, appear late."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from bleak import BleakClient
from bumble.controller import Controller
from bumble.device import Advertisement, Connection, Device, DeviceConfiguration
from bumble.hci import Address, HCI_ErrorCode
from bumble.host import Host
from bumble.link import LocalLink
from bumble.ll import AdvertisingPdu, EncReq

from healthd.simulator.air import CENTRAL_ADDRESS
from healthd.simulator.controller import CANCELLED_S, VirtualController
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


@asynccontextmanager
async def immediate(
    peripheral: VirtualPeripheral,
) -> AsyncGenerator[tuple[VirtualController, Callable[[], Awaitable[Connection]]]]:
    """Provide the controller of a central near the peripheral, and what connects the two."""
    ether = Immediate()
    controller = VirtualController("central", link=ether)
    host = Host(controller_source=controller, controller_sink=controller)
    central = Device(config=DeviceConfiguration(address=CENTRAL_ADDRESS), host=host)

    async def connect() -> Connection:
        connecting = asyncio.create_task(central.connect_le(peripheral.address, timeout=None))
        await peripheral.linked.wait()
        return await connecting

    await central.power_on()
    await peripheral.power_on(ether)
    await peripheral.appear()
    yield controller, connect
    await peripheral.power_off()
    await central.power_off()


async def test_peripheral_that_is_linked_at_its_first_advertisement_advertises_again() -> None:
    # As the kernel does after a failed link: it connects again as soon as it hears the peripheral.
    peripheral = Puppet().peripheral
    async with asyncio.timeout(10), immediate(peripheral) as (controller, connect):
        for _ in range(20):
            await connect()
            controller.hang_up_all(HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)
            await peripheral.unlinked.wait()


async def test_link_that_only_one_side_still_has_times_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("healthd.simulator.controller.SUPERVISION_S", 0.05)
    peripheral = Puppet().peripheral
    lost: asyncio.Queue[int] = asyncio.Queue()
    async with asyncio.timeout(10), immediate(peripheral) as (controller, connect):
        await connect()
        # Only the central's end is gone, as if it had lost its power.
        controller.forget(Address(peripheral.address), HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
        await peripheral.unlinked.wait()
        # The peripheral advertises again. Now only its own end is gone.
        connection = await connect()
        connection.on(connection.EVENT_DISCONNECTION, lost.put_nowait)
        [other] = controller.link.controllers - {controller}
        assert isinstance(other, VirtualController)
        other.forget(CENTRAL_ADDRESS, HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
        assert await lost.get() == HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR


async def test_link_with_two_ends_does_not_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healthd.simulator.controller.SUPERVISION_S", 0.01)
    peripheral = Puppet().peripheral
    async with asyncio.timeout(10), immediate(peripheral) as (_controller, connect):
        await connect()
        await asyncio.sleep(0.3)
        assert peripheral.linked.is_set()
        assert peripheral.links == 1


async def test_cancel_that_comes_too_late_ends_the_link() -> None:
    # As the kernel sends it if a device is removed while it is being connected.
    peripheral = Puppet().peripheral
    answers: list[int] = []
    async with asyncio.timeout(10), immediate(peripheral) as (controller, connect):
        connection = await connect()
        lost = asyncio.get_running_loop().create_future()
        connection.on(connection.EVENT_DISCONNECTION, lost.set_result)
        for _ in range(2):
            answers.append(controller.cancel_connecting())
        # Not at once: the host has to deal with the answer first.
        assert controller.le_connections
        assert await lost == HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR
        await peripheral.unlinked.wait()
        # Core 5.4, volume 4, part E, 7.8.13: disallowed without a connection to cancel.
        assert answers == [HCI_ErrorCode.COMMAND_DISALLOWED_ERROR] * 2
        # The next link is none of that cancel's business.
        await connect()
        await asyncio.sleep(2 * CANCELLED_S)
        assert peripheral.linked.is_set()


async def test_link_may_end_while_its_encryption_is_answered() -> None:
    errors: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    peripheral = Puppet().peripheral
    async with asyncio.timeout(10), immediate(peripheral) as (controller, connect):
        await connect()
        [end] = controller.le_connections.values()
        # The host answers with another key than the peer's; meanwhile the peer hangs up.
        request = EncReq(rand=bytes(8), ediv=0, ltk=bytes(16))
        asyncio.get_running_loop().call_soon(
            controller.on_le_long_term_key_reply, end, request, bytes(range(16))
        )
        controller.hang_up_all(HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)
        await peripheral.unlinked.wait()
    assert errors == []


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
