"""A peripheral that answers only over an encrypted link."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from bumble.gatt import Characteristic
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import (
    Battery,
    battery_part,
    device_information_part,
    heart_rate_part,
)
from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.straps import NumberedHeart, Strap
from tests.system.guest.vm import Failed, until
from tests.system.guest.ward import SERVICE, Ward

_AGENT = "/org/healthd/agent"


class SecretiveStrap(VirtualPeripheral):
    """A strap whose battery level is told only to those it is paired with."""

    async def forget_bonds(self) -> None:
        """Lose every key, as by a new battery."""
        _, device = self._powered()
        assert device.keystore is not None
        await device.keystore.delete_all()

    async def bonds(self) -> int:
        """How many keys it holds."""
        _, device = self._powered()
        assert device.keystore is not None
        return len(await device.keystore.get_all())

    @property
    def is_encrypted(self) -> bool:
        """Whether its link is."""
        return self._connection is not None and self._connection.is_encrypted


def secretive_strap(
    name: str, address: str, heart: NumberedHeart, *, period: float, record: Any
) -> SecretiveStrap:
    """See `chest_strap`."""
    battery = battery_part(Battery(80))
    for characteristic in battery.payloads:
        characteristic.permissions |= Characteristic.READ_REQUIRES_ENCRYPTION
    parts: tuple[Part, ...] = (heart_rate_part(heart, period), battery, device_information_part())
    return SecretiveStrap(name, address, parts, record=record)


@case()
async def pairing(ward: Ward) -> None:
    """Paired once by its owner, a strap tells its secret again after each reconnect."""
    async with _agent():
        strap, peripheral = await _paired(ward)
        async with ward.fault():
            await peripheral.drop()
        await ward.recovered(strap)
        # What healthd retains of a device is renewed with each link.
        await _has_told_its_secret(ward, peripheral)
        if await peripheral.bonds() != 1:
            raise Failed(f"expected one bond to be used again, found {await peripheral.bonds()}")


@case()
async def pairing_by_healthd(ward: Ward) -> None:
    """Told to, healthd pairs by itself; no other agent is there, and a reconnect uses the bond."""
    strap = await ward.strap(build=secretive_strap)
    peripheral = strap.peripheral
    assert isinstance(peripheral, SecretiveStrap)
    ward.configure(pair=True)
    await ward.start()
    await ward.streaming(strap)
    await _has_told_its_secret(ward, peripheral)
    async with ward.fault():
        await peripheral.drop()
    await ward.recovered(strap)
    await _has_told_its_secret(ward, peripheral)
    if await peripheral.bonds() != 1:
        raise Failed(f"expected one bond to be used again, found {await peripheral.bonds()}")
    if not ward.broker.state("strap").get("bonded"):
        raise Failed(f"expected bonded: true, found {ward.broker.state('strap')}")


async def _has_told_its_secret(ward: Ward, peripheral: SecretiveStrap) -> None:
    await until(
        lambda: peripheral.is_encrypted and "battery" in ward.broker.state("strap"),
        "the battery level comes over an encrypted link",
    )


@case()
async def bond_removed_here(ward: Ward) -> None:
    """A bond that is removed on this machine: the strap streams again, and can be paired again."""
    async with _agent():
        strap, peripheral = await _paired(ward)
        async with ward.fault():
            await vm.remove_device(strap.address)
            await until(lambda: bool(peripheral.unlinked.is_set()), "the link ends")
        await ward.recovered(strap)


@case()
async def bond_removed_there(ward: Ward) -> None:
    """A strap that forgot its bond harms no other; with the bond removed here it streams again."""
    async with _agent() as introduce_agent:
        strap, peripheral = await _paired(ward)
        other = await ward.strap("other", in_range=False)
        ward.configure()
        await vm.run("systemctl", "restart", SERVICE)
        await other.peripheral.appear()
        await ward.streaming(strap, other)
        async with ward.fault(strap) as about:
            await peripheral.forget_bonds()
            await peripheral.drop()
            # Whatever BlueZ makes of it: the other one streams, before, after and in between.
            for _ in range(5):
                await ward.streaming(other)
            ward.notes.append(f"with a bond on one side only: {ward.broker.state('strap')}")
            await until(vm.adapter_is_powered, "BlueZ has the adapter")
            await vm.remove_device(strap.address)
            if crashes := await _crashes(ward):
                # It was left in peace for up to 15 minutes; whoever mends the bond need not wait.
                ward.notes.append(f"bluetoothd crashed {crashes} times; healthd restarted by hand")
                await introduce_agent()
                await vm.run("systemctl", "restart", SERVICE)
                about.append(other)
        await ward.recovered(*about)


async def _crashes(ward: Ward) -> int:
    """How often bluetoothd has gone away: that of Debian 12 does so over a bond of one side."""
    events = [json.loads(line) for line in await ward.journal.lines()]
    return sum(event.get("change") == "bluez_gone" for event in events)


async def _paired(ward: Ward) -> tuple[Strap, SecretiveStrap]:
    strap = await ward.strap(build=secretive_strap)
    peripheral = strap.peripheral
    assert isinstance(peripheral, SecretiveStrap)
    await ward.start_streaming()
    if not await vm.device_property(strap.address, "Bonded"):
        # As the owner does once, with bluetoothctl.
        await vm.pair(strap.address)
        ward.notes.append("paired by its owner")
    else:
        ward.notes.append("BlueZ paired by itself, when the secret was asked for")
    await until(lambda: vm.device_property(strap.address, "Bonded"), "BlueZ keeps the bond")
    if not await peripheral.bonds():
        raise Failed("the strap has no bond")
    return strap, peripheral


@asynccontextmanager
async def _agent() -> AsyncGenerator[Callable[[], Awaitable[None]]]:
    """Somebody who agrees to every pairing; without one Debian 13 refuses.

    Gives what introduces them again to a bluetoothd that has been started anew.
    """
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()

    def agree(message: Message) -> Message | None:
        asked = message.message_type is MessageType.METHOD_CALL
        if asked and message.interface == "org.bluez.Agent1":
            return Message.new_method_return(message)
        return None

    async def introduce() -> None:
        for member, signature, body in (
            ("RegisterAgent", "os", [_AGENT, "NoInputNoOutput"]),
            ("RequestDefaultAgent", "o", [_AGENT]),
        ):
            call = Message(
                destination="org.bluez",
                path="/org/bluez",
                interface="org.bluez.AgentManager1",
                member=member,
                signature=signature,
                body=body,
            )
            answer = await bus.call(call)
            if answer.message_type is not MessageType.METHOD_RETURN:
                raise Failed(f"{member}: {answer.body}")

    bus.add_message_handler(agree)
    await introduce()
    try:
        yield introduce
    finally:
        bus.disconnect()
