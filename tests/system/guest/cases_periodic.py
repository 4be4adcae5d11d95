"""Peripherals that are linked now and then, for a moment, and left alone between."""

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
from tests.system.guest.straps import NumberedHeart
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import START_S, World

_PER_LINK = 3
# Found, connected, three samples, and the ten seconds of quiet that end a run.
_RUN_S = 60.0
# Somebody else gives up the slot first, 20 s after it began to stream.
_RUN_WITHOUT_SLOT_S = 90.0
# Whoever gave way is back after the next run of the one that is due every 45 s.
_TURN_S = 120.0
# StopDiscovery has been answered by then; it is seconds until the next run.
_STOP_S = 5.0


def meter(
    name: str, address: str, heart: NumberedHeart, *, period: float, record: Any
) -> VirtualPeripheral:
    """One that gives three samples on each link, and is silent until the next one."""
    part = heart_rate_part(heart, period)
    few = {one: _few(payloads) for one, payloads in part.payloads.items()}
    return VirtualPeripheral(name, address, (replace(part, payloads=few),), record=record)


def _few(payloads: Payloads) -> Payloads:
    async def made() -> AsyncGenerator[bytes, None]:
        async with aclosing(payloads()) as endless:
            for _ in range(_PER_LINK):
                yield await anext(endless)

    return made


@case()
async def periodic(world: World) -> None:
    """Fetched twice, and once by hand, a device has no link between and nobody listens for it."""
    one = await world.strap("meter", build=meter)
    world.configure(own={"meter": 'every = "45s"\nwindow = "40s"'})
    await world.start()
    for run in (1, 2):
        timeout_s = START_S + _RUN_S
        await until(lambda run=run: len(world.broker.fetches) == run, f"run {run}", timeout_s)
        _has_delivered(world, "meter", run)
        if await vm.device_property(one.address, "Connected") is not False:
            raise Failed("BlueZ has a link to it after its run, or does not know it")
        await until(lambda: not world.radio.scans, "the adapter rests", _STOP_S)
        if (links := len(world.radio.end_times(one.address))) != run:
            raise Failed(f"expected a link for each of {run} runs, found {links}")
    state = world.broker.state("meter")
    if (state["state"], state["reason"]) != ("waiting", "scheduled"):
        raise Failed(f"expected it to wait for its next run, found {state}")
    # By the command of its owner, across the sandbox of the unit; the timetable stays.
    fetch = ("runuser", "-u", "healthd", "--", "healthd", "fetch", "meter", "--json")
    told = json.loads(await vm.run(*fetch, timeout_s=_RUN_S))
    if (told["outcome"], told["samples"]) != ("new_data", _PER_LINK):
        raise Failed(f"expected new data from healthd fetch, found {told}")
    await until(lambda: len(world.broker.fetches) == 3, "the event of that run")
    _has_delivered(world, "meter", 3)


@case()
async def periodic_among_eight(world: World) -> None:
    """Of eight on five slots two are periodic and deliver in each run; six stream, in turns."""
    straps = [await world.strap(f"strap-{number}") for number in range(6)]
    every = await world.strap("meter", build=meter)
    shown = await world.strap("scale", build=meter, in_range=False)
    own = {
        every.id: 'every = "45s"\nwindow = "40s"',
        shown.id: 'on = "advertising"\nrearm = "10min"',
    }
    world.configure(more="[bluetooth]\nslots = 5", own=own)
    await world.start()
    await until(lambda: _runs(world, every.id), "the first run of the meter", START_S + _RUN_S)
    await until(lambda: world.radio.links == 5, "straps take all slots", START_S)
    await shown.peripheral.appear()
    await until(lambda: _runs(world, shown.id), "the scale's run", _RUN_WITHOUT_SLOT_S)
    # From now on: those that are linked, the one that waited, and the one that gave way.
    await world.streaming(*straps, since=time.monotonic(), timeout_s=_TURN_S)
    await until(lambda: len(_runs(world, every.id)) > 1, "a further run", _RUN_WITHOUT_SLOT_S)
    _has_delivered(world, every.id, len(_runs(world, every.id)))
    _has_delivered(world, shown.id, 1)
    ends = {strap.id: len(world.radio.end_times(strap.address)) for strap in straps}
    world.notes.append(f"gave way: {ends}")
    if not any(ends.values()) or world.radio.most_links != 5:
        raise Failed(f"nobody had to give way: {world.radio.most_links} links at most, {ends}")
    world.excuse_last_of_links()


def _runs(world: World, peripheral: str) -> list[dict[str, Any]]:
    return [one for one in world.broker.fetches if one["peripheral"] == peripheral]


def _has_delivered(world: World, peripheral: str, runs: int) -> None:
    """Each of so many runs has brought what the device gives on one link."""
    found = [(one["outcome"], one["samples"]) for one in _runs(world, peripheral)]
    if found != [("new_data", _PER_LINK)] * runs:
        raise Failed(f"expected {runs} runs of {peripheral} with new data, found {found}")
