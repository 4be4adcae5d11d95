"""BlueZ, its bus and its adapter go away and come back."""

from pathlib import Path

from bumble.hci import HCI_ErrorCode

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.straps import Strap
from tests.system.guest.vm import Failed, until
from tests.system.guest.ward import Ward

_BLUETOOTH = "bluetooth.service"
# Debian 13 restarts a bluetoothd that crashed, and D-Bus starts one that is asked for.
_OF_ITSELF_S = 10.0


@case()
async def bluetoothd_restart(ward: Ward) -> None:
    """A restart of bluetoothd costs each link once."""
    straps = await two_streaming(ward)
    before = await vm.main_pid(_BLUETOOTH)
    async with ward.fault():
        await vm.run("systemctl", "restart", _BLUETOOTH)
        await new_process(before)
    await ward.recovered(*straps)


@case()
async def bluetoothd_killed(ward: Ward) -> None:
    """bluetoothd killed without a word: noticed at once, though BlueZ says nothing of its links."""
    straps = await two_streaming(ward)
    before = await vm.main_pid(_BLUETOOTH)
    async with ward.fault():
        await vm.run("systemctl", "kill", "--signal=KILL", _BLUETOOTH)
        await until(lambda: _has_ended(before), "bluetoothd dies")
        await _bring_back(ward)
        await new_process(before)
    await ward.recovered(*straps)


@case()
async def dbus_restart(ward: Ward) -> None:
    """A restart of the system bus: healthd reconnects to it once BlueZ is there again."""
    straps = await two_streaming(ward)
    before = await vm.main_pid("dbus.service")
    async with ward.fault():
        await vm.run("systemctl", "restart", "dbus.service")
        if await vm.main_pid("dbus.service") in (0, before):
            raise Failed("the fault did not happen: dbus-daemon is the same process")
        # bluetoothd ends with its bus, as it is written to.
        await _bring_back(ward)
        await until(vm.adapter_is_powered, "BlueZ powers the adapter", 60)
    await ward.recovered(*straps)


@case()
async def adapter_off_and_on(ward: Ward) -> None:
    """An adapter that is switched off and on again."""
    straps = await two_streaming(ward)
    async with ward.fault():
        await vm.set_powered(False)
        await until(lambda: _all_unlinked(straps), "all links end")
        await until(lambda: _none_streams(ward, straps), "healthd notices")
        # healthd may have switched it on by now; a second time does no harm.
        await vm.set_powered(True)
        await until(vm.adapter_is_powered, "the adapter is on")
    await ward.recovered(*straps)


@case()
async def adapter_gone_and_back(ward: Ward) -> None:
    """An adapter that is pulled out and plugged in again."""
    straps = await two_streaming(ward)
    async with ward.fault():
        await ward.radio.unplug()
        await until(_has_no_adapter, "BlueZ has no adapter")
        await until(lambda: _none_streams(ward, straps), "healthd notices")
        await ward.plug()
    await ward.recovered(*straps)


@case()
async def orphan_link(ward: Ward) -> None:
    """After kill -9 BlueZ keeps the link and the strap never advertises; it still streams."""
    strap = await ward.strap()
    await ward.start_streaming()
    before = await vm.main_pid("healthd.service")
    async with ward.fault():
        await vm.run("systemctl", "kill", "--signal=KILL", "healthd.service")
        await until(lambda: _has_ended(before), "healthd dies")
        if not await vm.device_property(strap.address, "Connected"):
            raise Failed("the fault did not happen: BlueZ has ended the link by itself")
    await ward.recovered(strap)
    if await vm.main_pid("healthd.service") in (0, before):
        raise Failed("the fault did not happen: healthd is the same process")
    if HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR in ward.radio.end_reasons(strap.address):
        raise Failed("the link timed out, so it was no orphan")


async def two_streaming(ward: Ward) -> list[Strap]:
    """Two straps that stream."""
    straps = [await ward.strap(f"strap-{number}") for number in (1, 2)]
    await ward.start_streaming()
    return straps


async def new_process(before: int) -> None:
    """bluetoothd is another process than it was, and has the adapter powered."""
    await until(vm.adapter_is_powered, "bluetoothd is back, with its adapter", 60)
    if await vm.main_pid(_BLUETOOTH) in (0, before):
        raise Failed("the fault did not happen: bluetoothd is the same process")


def _has_ended(pid: int) -> bool:
    # A zombie has no command line, and a process that is gone has no file.
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return True


async def _bring_back(ward: Ward) -> None:
    """Start bluetoothd as an administrator would, where it does not come by itself."""
    try:
        await until(lambda: vm.is_active(_BLUETOOTH), "bluetoothd comes by itself", _OF_ITSELF_S)
    except Failed:
        await vm.run("systemctl", "reset-failed", _BLUETOOTH, may_fail=True)
        await vm.run("systemctl", "start", _BLUETOOTH)
        ward.notes.append("bluetoothd did not come back by itself and was started")


async def _has_no_adapter() -> bool:
    return await vm.adapter_is_powered() is None


def _all_unlinked(straps: list[Strap]) -> bool:
    return all(strap.peripheral.unlinked.is_set() for strap in straps)


def _none_streams(ward: Ward, straps: list[Strap]) -> bool:
    return all(ward.broker.state(strap.id).get("state") != "streaming" for strap in straps)
