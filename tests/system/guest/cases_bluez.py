"""BlueZ, its bus and its adapter go away and come back."""

from pathlib import Path

from bumble.hci import HCI_ErrorCode

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.straps import Strap
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import World

_BLUETOOTH = "bluetooth.service"
# Debian 13 restarts bluetoothd after a crash, and D-Bus starts it when it is called.
_OF_ITSELF_S = 10.0


@case()
async def adapter_comes_back(world: World) -> None:
    """After a restart of bluetoothd, and an adapter switched off or unplugged, all stream again."""
    straps = await two_streaming(world)
    for fault in (_restart_bluetoothd, _switch_off_and_on, _unplug_and_plug):
        async with world.fault():
            await fault(world, straps)
        await world.recovered(*straps)
        world.notes.append(f"{fault.__name__.strip('_')}: {world.recovery_s:.2f} s")


async def _restart_bluetoothd(_world: World, _straps: list[Strap]) -> None:
    before = await vm.main_pid(_BLUETOOTH)
    await vm.run("systemctl", "restart", _BLUETOOTH)
    await new_process(before)


async def _switch_off_and_on(world: World, straps: list[Strap]) -> None:
    await vm.set_powered(False)
    await until(lambda: _all_unlinked(straps), "all links end")
    await until(lambda: _none_streams(world, straps), "healthd notices")
    # healthd may have switched it on already; a second time does no harm.
    await vm.set_powered(True)
    await until(vm.adapter_is_powered, "the adapter is on")


async def _unplug_and_plug(world: World, straps: list[Strap]) -> None:
    await world.radio.unplug()
    await until(_has_no_adapter, "BlueZ has no adapter")
    await until(lambda: _none_streams(world, straps), "healthd notices")
    await world.plug()


@case()
async def bluetoothd_killed(world: World) -> None:
    """bluetoothd is killed: healthd notices at once, although BlueZ reports no lost links."""
    straps = await two_streaming(world)
    before = await vm.main_pid(_BLUETOOTH)
    async with world.fault():
        await vm.run("systemctl", "kill", "--signal=KILL", _BLUETOOTH)
        await until(lambda: _has_ended(before), "bluetoothd dies")
        await _bring_back(world)
        await new_process(before)
    await world.recovered(*straps)


@case()
async def dbus_restart(world: World) -> None:
    """After a restart of the system bus healthd reconnects once BlueZ is back."""
    straps = await two_streaming(world)
    before = await vm.main_pid("dbus.service")
    async with world.fault():
        await vm.run("systemctl", "restart", "dbus.service")
        if await vm.main_pid("dbus.service") in (0, before):
            raise Failed("the fault did not happen: dbus-daemon is the same process")
        # bluetoothd ends with its bus by design.
        await _bring_back(world)
        await until(vm.adapter_is_powered, "BlueZ powers the adapter", 60)
    await world.recovered(*straps)


@case()
async def orphan_link(world: World) -> None:
    """After kill -9 BlueZ keeps the link, so the strap does not advertise; it streams again."""
    strap = await world.strap()
    await world.start_streaming()
    before = await vm.main_pid("healthd.service")
    async with world.fault():
        await vm.run("systemctl", "kill", "--signal=KILL", "healthd.service")
        await until(lambda: _has_ended(before), "healthd dies")
        if not await vm.device_property(strap.address, "Connected"):
            raise Failed("the fault did not happen: BlueZ has ended the link by itself")
    await world.recovered(strap)
    if await vm.main_pid("healthd.service") in (0, before):
        raise Failed("the fault did not happen: healthd is the same process")
    if HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR in world.radio.end_reasons(strap.address):
        raise Failed("the link timed out, so it was no orphan")


async def two_streaming(world: World) -> list[Strap]:
    """Make two straps, and wait until they stream."""
    straps = [await world.strap(f"strap-{number}") for number in (1, 2)]
    await world.start_streaming()
    return straps


async def new_process(before: int) -> None:
    """Check that bluetoothd is a new process, and has the adapter powered."""
    await until(vm.adapter_is_powered, "bluetoothd is back, with its adapter", 60)
    if await vm.main_pid(_BLUETOOTH) in (0, before):
        raise Failed("the fault did not happen: bluetoothd is the same process")


def _has_ended(pid: int) -> bool:
    # A zombie has an empty command line; a process that is gone has no file, or ends while the file
    # is read.
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


async def _bring_back(world: World) -> None:
    """Start bluetoothd as an administrator would, if it does not restart by itself."""
    try:
        await until(lambda: vm.is_active(_BLUETOOTH), "bluetoothd restarts by itself", _OF_ITSELF_S)
    except Failed:
        await vm.run("systemctl", "reset-failed", _BLUETOOTH, may_fail=True)
        await vm.run("systemctl", "start", _BLUETOOTH)
        world.notes.append("bluetoothd did not restart by itself and was started")


async def _has_no_adapter() -> bool:
    return await vm.adapter_is_powered() is None


def _all_unlinked(straps: list[Strap]) -> bool:
    return all(strap.peripheral.unlinked.is_set() for strap in straps)


def _none_streams(world: World, straps: list[Strap]) -> bool:
    return all(world.broker.state(strap.id).get("state") != "streaming" for strap in straps)
