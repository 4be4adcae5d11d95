"""The scanner for peripherals that only advertise: how it listens, and when it hears nothing."""

import json

from tests.system.guest import frames, vm
from tests.system.guest.broadcasters import Broadcaster
from tests.system.guest.case import case
from tests.system.guest.cases_listening import has_arrived
from tests.system.guest.cases_periodic import EVERY, SHORT_RUNS, meter
from tests.system.guest.cases_service import hook
from tests.system.guest.hearing import Duplicates
from tests.system.guest.listened import Ride
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import BLUETOOTH, RECOVERY_S, START_S, World, drop_in

_PASSIVE = """
[bluetooth]
scanning = "passive"

[[peripherals]]
id = "bike"
service = "keiser"
"""
_EXPERIMENTAL = """
[Service]
ExecStart=
ExecStart=/usr/libexec/bluetooth/bluetoothd --experimental
"""
# The real deadline of 90 s would make this the longest case.
_HOOK = """
from healthd.central import recovery

recovery.SILENCE_S = 12.0
"""


@case()
async def passive_scan(world: World) -> None:
    """With BlueZ's experimental interfaces it scans passively: then no controller filters."""
    drop_in("experimental", _EXPERIMENTAL, BLUETOOTH)
    await vm.run("systemctl", "daemon-reload")
    await vm.run("systemctl", "restart", BLUETOOTH)
    await until(vm.adapter_is_powered, "BlueZ powers the adapter")
    bike = Broadcaster(world.radio, "C8:00:00:00:00:02")
    world.configure(more=_PASSIVE)
    await world.start()
    hearing = world.radio.hearing
    hearing.duplicates = Duplicates.SAME_ADDRESS
    await until(lambda: hearing.is_passive, "healthd scans passively", START_S)
    await bike.advertise_all(map(frames.ride, range(1, 9)))
    await has_arrived(world, "bike keiser_bike power_w", range(1, 9))


@case()
async def deaf_scanner(world: World) -> None:
    """A scanner that hears nothing is restarted; linked and periodic devices are not disturbed."""
    hook(_HOOK + SHORT_RUNS)
    await vm.run("systemctl", "daemon-reload")
    strap, fetched = await world.strap(), await world.strap("meter", build=meter)
    bike = Ride("bike", "C8:00:00:00:00:02", settings='silence = "6s"')
    world.listen(bike, Broadcaster(world.radio, bike.address))
    world.configure(own={fetched.id: EVERY})
    await world.start()
    await world.streaming(strap, bike)
    await until(lambda: world.broker.fetches, "the first run of the meter", RECOVERY_S)
    # For the next link the scan stops, and BlueZ forgets the bike.
    async with world.fault(strap):
        await strap.peripheral.drop()
    await world.recovered(strap)
    await world.streaming(bike)
    hearing, links = world.radio.hearing, len(world.radio.end_times(strap.address))
    async with world.fault(bike, takes_samples=False):
        hearing.fall_deaf()
        await until(lambda: world.broker.state("bike").get("reason") == "silent", "it is silent")
        if not hearing.muted or not await vm.adapter_is_discovering():
            raise Failed("the fault did not happen: nothing was muted, or BlueZ does not scan")
        await until(lambda: not hearing.is_deaf, "healthd restarts the scan")
    await world.recovered(bike, strap)
    event = json.loads(world.broker.retained["event/adapter"])
    if event["change"] != "rescan" or len(world.radio.end_times(strap.address)) != links:
        raise Failed(f"expected a new scan and no lost link, found {event}")
    world.excuse_last_of_links()
    world.notes.append("restarted after a silence of 12 s instead of 90 s")
