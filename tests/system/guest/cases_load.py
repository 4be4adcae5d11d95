"""More peripherals than usual, and more than an adapter supports."""

import asyncio
import time
from pathlib import Path

from tests.system.guest.case import case
from tests.system.guest.straps import Strap
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import SERVICE, World

_CGROUP = Path(f"/sys/fs/cgroup/system.slice/{SERVICE}")
_MEMORY_MAX = 128 << 20
# Emulated, each of the twenty connects takes seconds, and they run one after the other.
_ALL_TWENTY_S = 300.0
# One visit: found, connected, prepared, three samples.
_TURN_S = 20.0


@case()
async def twenty_on_twenty(world: World) -> None:
    """Twenty straps on twenty slots stream at once, without reaching the unit's memory limit."""
    straps = [await world.strap(f"strap-{number}") for number in range(20)]
    world.configure(more="[bluetooth]\nslots = 20")
    began_at = time.monotonic()
    await world.start()
    await world.streaming(*straps, timeout_s=_ALL_TWENTY_S)
    world.notes.append(f"20 straps stream after {time.monotonic() - began_at:.1f} s")
    # And all of them continue.
    await world.streaming(*straps)
    peak = int((_CGROUP / "memory.peak").read_text())
    limit = (_CGROUP / "memory.max").read_text().strip()
    events = dict(line.split() for line in (_CGROUP / "memory.events").read_text().splitlines())
    world.notes.append(f"peak {peak / 2**20:.1f} MiB, limit {limit}")
    if int(limit) != _MEMORY_MAX:
        raise Failed(f"expected a limit of {_MEMORY_MAX}, found {limit}")
    if events["max"] != "0" or events["oom_kill"] != "0":
        raise Failed(f"it reached its memory limit: {events}")


@case()
async def eight_on_five(world: World) -> None:
    """With five slots four straps stream steadily, and four visitors take turns at the fifth."""
    steady = [await world.strap(f"steady-{number}") for number in range(4)]
    visitors = [await world.strap(f"visitor-{number}", in_range=False) for number in range(4)]
    world.configure(more="[bluetooth]\nslots = 5")
    await world.start()
    await world.streaming(*steady)
    async with asyncio.TaskGroup() as visits:
        for visitor in visitors:
            visits.create_task(_visit(visitor, _TURN_S * len(visitors)), name=visitor.id)
    most = world.radio.most_links
    if most != 5:
        raise Failed(f"expected at most five links at a time, reaching five; found {most}")
    if any(world.radio.end_reasons(strap.address) for strap in steady):
        raise Failed("the link of a steady strap has ended")


async def _visit(visitor: Strap, timeout_s: float) -> None:
    """Come into range, send three samples when there is a slot, and leave."""
    await visitor.peripheral.appear()
    await until(lambda: len(visitor.arrived) >= 3, f"{visitor.id} gets a slot", timeout_s)
    visitor.peripheral.go_silent()
    await until(
        lambda: len(visitor.arrived) == len(visitor.sent), f"all samples of {visitor.id} arrive"
    )
    await visitor.peripheral.vanish()
