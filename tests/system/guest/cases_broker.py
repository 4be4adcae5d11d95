"""The broker goes away and comes back; no sample may be lost."""

import asyncio

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import SERVICE, World

_MOSQUITTO = "mosquitto.service"
# Ten times as long as samples wait in memory before they are written to disk.
_OUTAGE_S = 20.0


@case()
async def broker_outage(world: World) -> None:
    """A restart of mosquitto loses no samples, and what is measured without it comes later."""
    strap = await world.strap()
    await world.start_streaming()
    before = await vm.main_pid(_MOSQUITTO)
    async with world.fault(takes_samples=False):
        await vm.run("systemctl", "restart", _MOSQUITTO)
        if await vm.main_pid(_MOSQUITTO) in (0, before):
            raise Failed("the fault did not happen: mosquitto is the same process")
    await world.recovered(strap)
    async with world.fault(takes_samples=False):
        await vm.run("systemctl", "stop", _MOSQUITTO)
        sent, arrived = len(strap.sent), len(strap.arrived)
        await asyncio.sleep(_OUTAGE_S)
        if len(strap.sent) - sent < _OUTAGE_S / 2:
            raise Failed(f"the strap sent only {len(strap.sent) - sent} samples in the outage")
        # One sample may have been on its way when the outage began.
        if len(strap.arrived) - arrived > 1:
            raise Failed("the fault did not happen: samples arrived")
        await vm.run("systemctl", "start", _MOSQUITTO)
    await world.recovered(strap)


@case()
async def stop_under_load(world: World) -> None:
    """SIGTERM during samples is a clean stop that is announced and loses no earlier sample."""
    for number in range(1, 5):
        await world.strap(f"strap-{number}", period=0.2)
    await world.start_streaming()
    straps = list(world.straps.values())
    async with world.fault():
        await vm.run("systemctl", "stop", SERVICE)
        state = await world.service_state()
        if (state["Result"], state["ExecMainStatus"]) != ("success", "0"):
            raise Failed(f"not a clean stop: {state}")
        if any(strap.peripheral.linked.is_set() for strap in straps):
            raise Failed("a link exists after the service has stopped")
        await until(
            lambda: world.broker.retained.get("status") == b"offline",
            "the status topic says offline",
        )
        await world.start()
    await world.recovered(*straps)
    world.notes.append("recovery includes the start of the service")
