"""Programs that are compared while each of them runs in surroundings of its own."""

import statistics
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.figures import Budget, Figure
from benchmarks.launched import Launched
from benchmarks.service import Setup, prepared
from benchmarks.trees import Tree


class Contender(NamedTuple):
    """A program that sends what straps measure to a broker.

    Attributes:
        name: the heading of its column.
        launch: makes its process, not started yet, for these surroundings.
    """

    name: str
    launch: Callable[[Setup], Launched]


def healthd(name: str, tree: Tree) -> Contender:
    """Return ``healthd run`` of a tree."""

    def launch(setup: Setup) -> Launched:
        return setup.healthd(tree)

    return Contender(name, launch)


@dataclass
class Row:
    """What was measured of each contender.

    Attributes:
        what: title of the row.
        unit: unit of the values.
        values: one list per contender, with one value per round.
        budget: of the first by the second; None if there is none.
        note: what the numbers do not show.
    """

    what: str
    unit: str
    values: list[list[float]] = field(default_factory=list[list[float]])
    budget: Budget | None = None
    note: str = ""

    def add(self, *values: float) -> None:
        """Add a round: one value per contender."""
        self.values = self.values or [[] for _ in values]
        for one, value in zip(self.values, values, strict=True):
            one.append(value)

    def figure(self) -> Figure:
        """Return the row as product and floor: the first contender and the second."""
        product, floor = self.values
        return Figure(self.what, self.unit, product, floor, self.budget, self.note)

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return all values by the contenders' names, for programs."""
        rounds = dict(zip(names, self.values, strict=True))
        return {"what": self.what, "unit": self.unit, "rounds": rounds, "note": self.note}

    def ratio(self, other: int) -> float:
        """Return the median of the first contender's values by those of another, round by round."""
        pairs = zip(self.values[0], self.values[other], strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)


class Side(NamedTuple):
    """A running contender, and its surroundings."""

    setup: Setup
    process: Launched


@asynccontextmanager
async def streaming(
    contenders: Sequence[Contender], straps: int, **how: Any
) -> AsyncGenerator[list[Side]]:
    """Run all at the same time, so that they share each moment of a busy machine.

    Args:
        contenders: in the order of the result.
        straps: their number; on entry, all of them stream.
        how: see ``prepared``.
    """
    async with AsyncExitStack() as stack:
        sides: list[Side] = []
        for contender in contenders:
            setup = await stack.enter_async_context(prepared(straps, **how))
            process = await stack.enter_async_context(contender.launch(setup))
            sides.append(Side(setup, process))
        for setup, _ in sides:
            await setup.until_streaming()
        yield sides
