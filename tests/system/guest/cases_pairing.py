"""A peripheral that answers only over an encrypted link."""

import json
from typing import Any

from bumble.gatt import Characteristic

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
from tests.system.guest.world import SERVICE, World

# healthd's command line starts anew each time, on an emulated processor.
_PAIR_S = 90.0


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
async def pairing(world: World) -> None:
    """Paired once by its owner, a strap tells its secret again after each reconnect."""
    strap, peripheral = await _secretive(world)
    world.configure()
    said = await vm.run("healthd", "pair", strap.id, timeout_s=_PAIR_S)
    world.notes.append(f"healthd pair: {said.splitlines()[-1]}")
    await _is_bonded(strap, peripheral)
    await world.start()
    await world.streaming(strap)
    await _has_told_its_secret(world, peripheral)
    async with world.fault():
        await peripheral.drop()
    await world.recovered(strap)
    await _has_told_its_secret(world, peripheral)
    await _is_bonded(strap, peripheral)


@case()
async def pairing_by_healthd(world: World) -> None:
    """Told to, healthd pairs by itself; no other agent is there, and a reconnect uses the bond."""
    strap, peripheral = await _secretive(world)
    await _start_paired(world, strap)
    async with world.fault():
        await peripheral.drop()
    await world.recovered(strap)
    await _has_told_its_secret(world, peripheral)
    await _is_bonded(strap, peripheral)
    if not world.broker.state(strap.id).get("bonded"):
        raise Failed(f"expected bonded: true, found {world.broker.state(strap.id)}")


@case()
async def bond_removed_here(world: World) -> None:
    """A bond that is removed on this machine is made anew, where the settings ask for one."""
    strap, peripheral = await _secretive(world)
    await _start_paired(world, strap)
    async with world.fault():
        await vm.remove_device(strap.address)
        await until(lambda: bool(peripheral.unlinked.is_set()), "the link ends")
    await world.recovered(strap)
    await _has_told_its_secret(world, peripheral)
    await _is_bonded(strap, peripheral)


@case()
async def bond_removed_there(world: World) -> None:
    """A strap that forgot its bond harms no other; with the bond removed here it is paired anew."""
    strap, peripheral = await _secretive(world)
    other = await world.strap("other")
    await _start_paired(world, strap)
    await world.streaming(other)
    async with world.fault(strap) as about:
        await peripheral.forget_bonds()
        await peripheral.drop()
        # Whatever BlueZ makes of it: the other one streams, before, after and in between.
        for _ in range(5):
            await world.streaming(other)
        reasons = {one["reason"] for one in await _events(world) if one["event"] == "retrying"}
        world.notes.append(f"with a bond on one side only: {sorted(reasons)}")
        await until(vm.adapter_is_powered, "BlueZ has the adapter")
        await vm.remove_device(strap.address)
        if crashes := await _crashes(world):
            # It was left in peace for up to 15 minutes; whoever fixes the bond need not wait.
            world.notes.append(f"bluetoothd crashed {crashes} times; healthd restarted by hand")
            await vm.run("systemctl", "restart", SERVICE)
            about.append(other)
    await world.recovered(*about)
    await _has_told_its_secret(world, peripheral)
    await _is_bonded(strap, peripheral)


async def _crashes(world: World) -> int:
    """How often bluetoothd has gone away: that of Debian 12 does so over a bond of one side."""
    return sum(event.get("change") == "bluez_gone" for event in await _events(world))


async def _events(world: World) -> list[dict[str, Any]]:
    return [json.loads(line) for line in await world.journal.lines()]


async def _secretive(world: World) -> tuple[Strap, SecretiveStrap]:
    strap = await world.strap(build=secretive_strap)
    peripheral = strap.peripheral
    assert isinstance(peripheral, SecretiveStrap)
    return strap, peripheral


async def _start_paired(world: World, strap: Strap) -> None:
    """Have healthd pair with the strap, as its first link."""
    assert isinstance(strap.peripheral, SecretiveStrap)
    world.configure(own={strap.id: "pair = true"})
    await world.start()
    await world.streaming(strap)
    await _has_told_its_secret(world, strap.peripheral)
    await _is_bonded(strap, strap.peripheral)


async def _has_told_its_secret(world: World, peripheral: SecretiveStrap) -> None:
    # What healthd retains of a device is renewed with each link.
    await until(
        lambda: peripheral.is_encrypted and "battery" in world.broker.state(peripheral.name),
        "the battery level comes over an encrypted link",
    )


async def _is_bonded(strap: Strap, peripheral: SecretiveStrap) -> None:
    """Each side holds the one bond with the other."""
    await until(lambda: vm.device_property(strap.address, "Bonded"), "BlueZ keeps the bond")
    if await peripheral.bonds() != 1:
        raise Failed(f"expected one bond, found {await peripheral.bonds()}")
