"""Peripherals that are linked only now and then, for a moment."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from healthd.simulator.part import Payloads
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import heart_rate_part
from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.cases_service import hook
from tests.system.guest.straps import NumberedHeart
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import START_S, World

_PER_LINK = 3
# Found, connected, three samples, and the silence that ends a run.
_RUN_S = 60.0
# The link of another strap has to end first, 20 s after it began to stream.
_RUN_WITHOUT_SLOT_S = 90.0
# A strap whose link was ended is back after the next run of the meter, which is due every 36 s.
_TURN_S = 120.0
# By then StopDiscovery has been answered; the next run is seconds away.
_STOP_S = 5.0
EVERY = 'every = "36s"\nwindow = "34s"'
SHORT_RUNS = """
from healthd.sessions import collect

collect.QUIET_S = min(collect.QUIET_S, 4.0)
"""
"""A hook: with the real silence of 10 s, some runs in a case would make it one of the longest."""


def meter(
    name: str, address: str, heart: NumberedHeart, *, period: float, record: Any
) -> VirtualPeripheral:
    """Make a device that sends three samples on each link."""
    part = heart_rate_part(heart, period)
    few = {characteristic: _few(payloads) for characteristic, payloads in part.payloads.items()}
    return VirtualPeripheral(name, address, (replace(part, payloads=few),), record=record)


async def _end_runs_early() -> None:
    """Let a shorter silence end the runs of periodic devices, from the next start on."""
    hook(SHORT_RUNS)
    await vm.run("systemctl", "daemon-reload")


def _few(payloads: Payloads) -> Payloads:
    async def made() -> AsyncGenerator[bytes, None]:
        async with aclosing(payloads()) as endless:
            for _ in range(_PER_LINK):
                yield await anext(endless)

    return made


@case()
async def periodic(world: World) -> None:
    """A device is fetched twice by schedule and once by hand, without links or scans in between."""
    await _end_runs_early()
    strap = await world.strap("meter", build=meter)
    world.configure(own={"meter": EVERY})
    await world.start()
    for run in (1, 2):
        timeout_s = START_S + _RUN_S
        await until(lambda run=run: len(world.broker.fetches) == run, f"run {run}", timeout_s)
        _has_delivered(world, "meter", run)
        if await vm.device_property(strap.address, "Connected") is not False:
            raise Failed("BlueZ has a link to it after its run, or does not know it")
        await until(lambda: not world.radio.scans, "the adapter stops scanning", _STOP_S)
        if (links := len(world.radio.end_times(strap.address))) != run:
            raise Failed(f"expected a link for each of {run} runs, found {links}")
    state = world.broker.state("meter")
    if (state["state"], state["reason"]) != ("waiting", "scheduled"):
        raise Failed(f"expected it to wait for its next run, found {state}")
    # By the command, across the sandbox of the unit; the schedule is not changed.
    fetch = ("runuser", "-u", "healthd", "--", "healthd", "fetch", "meter", "--json")
    fetched = json.loads(await vm.run(*fetch, timeout_s=_RUN_S))
    if (fetched["outcome"], fetched["samples"]) != ("new_data", _PER_LINK):
        raise Failed(f"expected new data from healthd fetch, found {fetched}")
    await until(lambda: len(world.broker.fetches) == 3, "the event of that run")
    _has_delivered(world, "meter", 3)


@case()
async def periodic_among_eight(world: World) -> None:
    """With five slots two periodic devices deliver in each run while six straps take turns."""
    await _end_runs_early()
    straps = [await world.strap(f"strap-{number}") for number in range(6)]
    every = await world.strap("meter", build=meter)
    shown = await world.strap("scale", build=meter, in_range=False)
    own = {
        every.id: EVERY,
        shown.id: 'on = "advertising"\nrearm = "10min"',
    }
    world.configure(more="[bluetooth]\nslots = 5", own=own)
    await world.start()
    await until(lambda: _runs(world, every.id), "the first run of the meter", START_S + _RUN_S)
    await until(lambda: world.radio.links == 5, "straps take all slots", START_S)
    await shown.peripheral.appear()
    await until(lambda: _runs(world, shown.id), "the scale's run", _RUN_WITHOUT_SLOT_S)
    # All straps stream again: the linked ones, and those whose links were ended.
    await world.streaming(*straps, since=time.monotonic(), timeout_s=_TURN_S)
    await until(lambda: len(_runs(world, every.id)) > 1, "a further run", _RUN_WITHOUT_SLOT_S)
    _has_delivered(world, every.id, len(_runs(world, every.id)))
    _has_delivered(world, shown.id, 1)
    ends = {strap.id: len(world.radio.end_times(strap.address)) for strap in straps}
    world.notes.append(f"links ended for periodic devices: {ends}")
    if not any(ends.values()) or world.radio.most_links != 5:
        raise Failed(f"expected links to be ended: {world.radio.most_links} links at most, {ends}")
    world.excuse_last_of_links()


def _runs(world: World, peripheral: str) -> list[dict[str, Any]]:
    return [run for run in world.broker.fetches if run["peripheral"] == peripheral]


def _has_delivered(world: World, peripheral: str, runs: int) -> None:
    """Check that each of this many runs has delivered what the device sends on one link."""
    found = [(run["outcome"], run["samples"]) for run in _runs(world, peripheral)]
    if found != [("new_data", _PER_LINK)] * runs:
        raise Failed(f"expected {runs} runs of {peripheral} with new data, found {found}")
