"""The rows of ``--against COMMIT``: the working tree is ``product``, the other one ``floor``."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from benchmarks.comparison import delivering, running, starting
from benchmarks.comparison.contenders import Contender, Row, healthd
from benchmarks.figures import Effort, Figure, Measure
from benchmarks.trees import Tree

BASELINE = "709b73f"
"""The commit that the budgets of ratios are meant for."""


class Pair(NamedTuple):
    """What is compared.

    Attributes:
        new: the working tree.
        old: the other commit.
    """

    new: Tree
    old: Tree

    @property
    def contenders(self) -> list[Contender]:
        """``healthd run`` of both."""
        return [healthd("new", self.new), healthd("old", self.old)]


async def _memory(pair: Pair, effort: Effort) -> list[Figure]:
    rows = [await running.memory(pair.contenders, effort, tls=tls) for tls in (False, True)]
    return _figures(rows)


async def _imports(pair: Pair, effort: Effort) -> list[Figure]:
    return _figures([await starting.imports(pair, effort)])


async def _start(pair: Pair, effort: Effort) -> list[Figure]:
    return _figures(await starting.start(pair.contenders, effort))


async def _cpu(pair: Pair, effort: Effort) -> list[Figure]:
    return await delivering.cpu(*pair, effort)


async def _rest(pair: Pair, effort: Effort) -> list[Figure]:
    return _figures(await running.rest(pair.contenders, effort))


async def _pace(pair: Pair, effort: Effort) -> list[Figure]:
    return _figures(await running.pace(pair.contenders, effort))


async def _first(pair: Pair, effort: Effort) -> list[Figure]:
    return _figures(await starting.first(pair, effort))


async def _outage(pair: Pair, effort: Effort) -> list[Figure]:
    return await delivering.outage(*pair, effort)


_ROWS: dict[str, Callable[[Pair, Effort], Awaitable[list[Figure]]]] = {
    "memory": _memory,
    "import": _imports,
    "start": _start,
    "cpu": _cpu,
    "rest": _rest,
    "pace": _pace,
    "first": _first,
    "outage": _outage,
}

NAMES = tuple(_ROWS)


def measures(pair: Pair) -> dict[str, Measure]:
    """Return what can be measured of two trees, by name."""
    return {name: partial(measure, pair) for name, measure in _ROWS.items()}


def without_budgets(figure: Figure) -> Figure:
    """Return a figure of another commit than the baseline: its ratio has no budget."""
    if figure.budget is None or not figure.budget.of_ratio:
        return figure
    return replace(figure, budget=None)


def _figures(rows: list[Row]) -> list[Figure]:
    return [row.figure() for row in rows]
