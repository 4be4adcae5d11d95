"""What the memory and the start of ``healthd run`` go into, package by package."""

import asyncio
import statistics
from typing import Literal

from benchmarks.figures import Effort
from benchmarks.importing import Importing
from benchmarks.proc import cpu_s, resident_mb
from benchmarks.report import Table
from benchmarks.service import watched

# Packages that belong together; all others are Python's own.
_GROUPS = {
    "start of Python": ("python",),
    "healthd": ("healthd",),
    "pydantic": ("pydantic", "pydantic_core", "annotated_types", "typing_inspection"),
    "bleak, dbus-fast": ("bleak", "bleak_retry_connector", "dbus_fast", "bluetooth_adapters"),
    "paho, aiomqtt": ("paho", "aiomqtt"),
    "structlog, orjson, rich, typer": ("structlog", "orjson", "rich", "typer", "click"),
}
_LIBRARY = "Python's own modules"
_REST = "everything else until a strap streams"

# By then memory that only the start needs is freed.
_SETTLED_S = 5.0

Parts = dict[str, float]


async def parts(effort: Effort) -> Table:
    """Measure resident memory and CPU time of the imports of each package."""
    sides: list[list[Parts]] = [[], []]
    for _ in range(effort.rounds):
        sides[0].append(await _measured("memory", effort))
        sides[1].append(await _measured("time", effort))
    names = [*_GROUPS, _LIBRARY, _REST]
    rows = [[name, *(f"{_middle(rounds, name):.1f}" for rounds in sides)] for name in names]
    totals = [statistics.median(sum(one.values()) for one in rounds) for rounds in sides]
    rows.append(["in all", *(f"{total:.1f}" for total in totals)])
    return Table(("what", "memory in MB", "CPU in ms"), rows, ())


async def _measured(what: Literal["time", "memory"], effort: Effort) -> Parts:
    with Importing(what) as importing:
        async with watched(importing) as process:
            spent_ms = cpu_s(process.pid) * 1e3
            await asyncio.sleep(effort.seconds(_SETTLED_S))
            whole = resident_mb(process.pid) if what == "memory" else spent_ms
            scale = 1e6
            found = {name: value / scale for name, value in importing.parts().items()}
    grouped = {
        group: sum(found.pop(name, 0.0) for name in names) for group, names in _GROUPS.items()
    }
    grouped[_LIBRARY] = sum(found.values())
    grouped[_REST] = whole - sum(grouped.values())
    return grouped


def _middle(rounds: list[Parts], name: str) -> float:
    return statistics.median(one[name] for one in rounds)
