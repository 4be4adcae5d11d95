"""The broker goes away and comes back; no sample may be lost by it."""

import asyncio

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.vm import Failed, until
from tests.system.guest.ward import SERVICE, Ward

_MOSQUITTO = "mosquitto.service"
_OUTAGE_S = 60.0


@case()
async def broker_restart(ward: Ward) -> None:
    """A restart of mosquitto loses nothing."""
    strap = await ward.strap()
    await ward.start_streaming()
    before = await vm.main_pid(_MOSQUITTO)
    async with ward.fault(takes_samples=False):
        await vm.run("systemctl", "restart", _MOSQUITTO)
        if await vm.main_pid(_MOSQUITTO) in (0, before):
            raise Failed("the fault did not happen: mosquitto is the same process")
    await ward.recovered(strap)


@case()
async def broker_outage(ward: Ward) -> None:
    """What is measured while there is no broker arrives afterwards, all of it."""
    strap = await ward.strap()
    await ward.start_streaming()
    async with ward.fault(takes_samples=False):
        await vm.run("systemctl", "stop", _MOSQUITTO)
        sent, arrived = len(strap.sent), len(strap.arrived)
        await asyncio.sleep(_OUTAGE_S)
        if len(strap.sent) - sent < _OUTAGE_S / 2:
            raise Failed(f"the strap sent only {len(strap.sent) - sent} samples in the outage")
        # One may have been on its way when it began.
        if len(strap.arrived) - arrived > 1:
            raise Failed("the fault did not happen: samples arrived")
        await vm.run("systemctl", "start", _MOSQUITTO)
    await ward.recovered(strap)


@case()
async def stop_under_load(ward: Ward) -> None:
    """SIGTERM among samples: a clean stop that says so, and none is lost that came before it."""
    for number in range(1, 5):
        await ward.strap(f"strap-{number}", period=0.2)
    await ward.start_streaming()
    straps = list(ward.straps.values())
    async with ward.fault():
        await vm.run("systemctl", "stop", SERVICE)
        state = await ward.service_state()
        if (state["Result"], state["ExecMainStatus"]) != ("success", "0"):
            raise Failed(f"no clean stop: {state}")
        if any(strap.peripheral.linked.is_set() for strap in straps):
            raise Failed("a link outlived the service")
        await until(
            lambda: ward.broker.retained.get("status") == b"offline", "it says that it is offline"
        )
        await ward.start()
    await ward.recovered(*straps)
    ward.notes.append("recovery includes the start of the service")
