"""What an advertisement of a foreign device costs, and the same for plain bleak with a callback."""

import asyncio

from benchmarks.figures import Budget, Effort, Figure
from benchmarks.proc import cpu_s
from benchmarks.stage import Measured
from benchmarks.surroundings import prepared

_FOREIGN = 200

# In a house with many neighbours, and in a hall.
_RATES_PER_S = (50, 1000)

_SECONDS = 20.0

# Until every foreign device has an object in the stand-in for bluetoothd, and the scanner knows it.
_SETTLED_S = 6.0

# BlueZ's own filter could not leave out these: any strap is searched for.
_ANY_STRAP = """
[[peripherals]]
id = "any-strap"
service = "heart_rate"
"""


async def foreign(effort: Effort) -> list[Figure]:
    """Measure both at the same time, with the same signals of a stand-in for bluetoothd."""
    return [await _cost(effort, rate) for rate in _RATES_PER_S]


async def _cost(effort: Effort, per_s: int) -> Figure:
    figure = Figure(
        f"CPU per advertisement of a foreign device, {per_s} per second",
        "µs",
        budget=Budget(0.5, of_ratio=True),
    )
    figure.note = (
        f"what {_FOREIGN} foreign devices add to the CPU of a quiet room; the floor is plain bleak "
        "with a detection callback"
    )
    async with prepared(0, entries=_ANY_STRAP) as setup, setup.healthd() as healthd:
        await setup.bluez.called("StartDiscovery")
        async with Measured("detecting", environ=setup.environ) as plain:
            await setup.bluez.called("StartDiscovery", times=2)
            await asyncio.sleep(effort.seconds(_SETTLED_S))
            quiet = await _spent(effort, healthd.pid, plain.pid)
            await setup.bluez.do("foreign", adapter="hci0", count=_FOREIGN, per_s=per_s)
            await asyncio.sleep(effort.seconds(_SETTLED_S))
            for _ in range(effort.rounds):
                began = (await plain.order("count"))["count"]
                spent = await _spent(effort, healthd.pid, plain.pid)
                heard = (await plain.order("count"))["count"] - began
                figure.product.append((spent[0] - quiet[0]) / heard * 1e6)
                figure.floor.append((spent[1] - quiet[1]) / heard * 1e6)
    return figure


async def _spent(effort: Effort, *processes: int) -> list[float]:
    """Return the CPU seconds of each process in the same time."""
    before = [cpu_s(process) for process in processes]
    await asyncio.sleep(effort.seconds(_SECONDS))
    return [cpu_s(process) - spent for process, spent in zip(processes, before, strict=True)]
