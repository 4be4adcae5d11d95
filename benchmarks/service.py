"""``healthd run`` with its own D-Bus and a fake bluetoothd: memory, start, recovery, idle CPU."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from benchmarks.figures import Budget, Effort, Figure
from benchmarks.importing import Importing
from benchmarks.launched import Launched
from benchmarks.proc import cpu_s, resident_mb
from benchmarks.surroundings import ONCE_A_SECOND, prepared
from benchmarks.trees import WORKING, Tree

# The libraries as the daemon loads them: pydantic loads most of itself with the first model, and
# structlog does not find rich.
BARE_IMPORTS = """
import sys
sys.modules["rich"] = None
import aiomqtt, bleak_retry_connector, orjson, pydantic, sqlite3, structlog
class Model(pydantic.BaseModel):
    field: int
"""

# After the first sample of the last strap: by then memory that only the start needs is freed.
_SETTLED_S = 5.0
_REST_S = 30.0


async def _bare() -> tuple[float, float]:
    """Return megabytes and CPU seconds of a Python that has imported healthd's libraries alone."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"{BARE_IMPORTS}\nprint(flush=True)\ninput()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    resident, spent_s = resident_mb(process.pid), cpu_s(process.pid)
    process.kill()
    await process.wait()
    return resident, spent_s


async def import_s(tree: Tree) -> float:
    """Return the CPU seconds of all imports of a tree's daemon until a strap streams."""
    with Importing() as importing:
        async with watched(importing, tree):
            return importing.seconds()


@asynccontextmanager
async def watched(importing: Importing, tree: Tree = WORKING) -> AsyncGenerator[Launched]:
    """Run a tree's daemon with a strap that streams on entry, and measure its imports."""
    async with prepared(1) as setup:
        process = Launched(
            tree,
            *("run", "--config", str(setup.config)),
            program=importing.program,
            environ=setup.environ,
            descriptors=(importing.descriptor,),
        )
        async with process:
            await setup.until_streaming()
            yield process


async def memory(effort: Effort) -> list[Figure]:
    """Measure resident memory with 0, 8 and 32 straps; the floor is the imports alone."""
    figures: list[Figure] = []
    for straps in (0, 8, 32):
        budget = Budget(45) if straps == 8 else None
        figure = Figure(f"resident memory of healthd run, {straps} straps", "MB", budget=budget)
        for _ in range(effort.rounds):
            async with prepared(straps) as setup, setup.healthd() as healthd:
                await healthd.logged("connected")
                await setup.until_streaming()
                await asyncio.sleep(effort.seconds(_SETTLED_S))
                figure.product.append(resident_mb(healthd.pid))
            resident, _ = await _bare()
            figure.floor.append(resident)
        figures.append(figure)
    return figures


async def start(effort: Effort) -> list[Figure]:
    """Measure from the command to the first sample, and the share of the imports."""
    first = Figure("start to first sample at a subscriber, 1 strap", "s")
    imports = Figure("import of everything that `run` needs, CPU", "s")
    imports.note = "the floor, here and above, is a Python that imports the libraries alone, CPU"
    for _ in range(effort.rounds):
        async with prepared(1) as setup:
            began = time.monotonic()
            async with setup.healthd():
                await setup.until_streaming()
                first.product.append(time.monotonic() - began)
        imports.product.append(await import_s(WORKING))
        _, bare_s = await _bare()
        imports.floor.append(bare_s)
        first.floor.append(bare_s)
    return [first, imports]


async def rest(effort: Effort) -> list[Figure]:
    """Measure CPU with 8 straps that send once a second, D-Bus included."""
    figure = Figure("CPU with 8 straps × 1 Hz, D-Bus included", "% of a core")
    async with (
        prepared(8, every=ONCE_A_SECOND, apart=True) as setup,
        setup.healthd() as healthd,
    ):
        await setup.until_streaming()
        for _ in range(effort.rounds):
            before, began = cpu_s(healthd.pid), time.monotonic()
            await asyncio.sleep(effort.seconds(_REST_S / effort.rounds))
            spent_s = cpu_s(healthd.pid) - before
            figure.product.append(spent_s / (time.monotonic() - began) * 100)
    return [figure]


async def recovery(effort: Effort) -> list[Figure]:
    """Measure how soon samples arrive again after a link, or all of bluetoothd, was lost."""
    link = Figure("link lost to streaming again, strap advertising", "s", budget=Budget(1.5))
    all_ = Figure("bluetoothd restarted to all of 8 streams back", "s", budget=Budget(3))
    async with prepared(8) as setup, setup.healthd() as healthd:
        await setup.until_streaming()
        for _ in range(effort.rounds):
            began = time.monotonic()
            await setup.bluez.do("unlink", address="C0:00:00:00:00:01")
            await healthd.logged("retrying")
            healthd.log.clear()
            await setup.until_streaming()
            link.product.append(time.monotonic() - began)
            # A link that lasted for three seconds is restored at once, like a real one.
            await asyncio.sleep(_SETTLED_S)
        for _ in range(effort.rounds):
            await setup.bluez.kill()
            await healthd.logged("adapter", change="bluez_gone")
            healthd.log.clear()
            await setup.bluez.start()
            began = time.monotonic()
            await setup.until_streaming()
            all_.product.append(time.monotonic() - began)
            await asyncio.sleep(_SETTLED_S)
    return [link, all_]
