"""Two trees, and what both of them run in."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from benchmarks.figures import Effort, Figure
from benchmarks.launched import Launched
from benchmarks.service import Setup, prepared
from benchmarks.trees import Tree


class Pair(NamedTuple):
    """What is compared.

    Attributes:
        new: the working tree.
        old: the other commit.
    """

    new: Tree
    old: Tree


Comparison = Callable[[Pair, Effort], Awaitable[list[Figure]]]
"""A measurement of both, which returns one or more figures."""


class Side(NamedTuple):
    """A running daemon, in surroundings of its own."""

    setup: Setup
    healthd: Launched


@asynccontextmanager
async def streaming(pair: Pair, straps: int, **how: Any) -> AsyncGenerator[list[Side]]:
    """Run both at the same time, so that they share each moment of a busy machine: new, old.

    Args:
        pair: the trees.
        straps: their number; on entry, all of them stream.
        how: see ``prepared``.
    """
    async with AsyncExitStack() as stack:
        sides: list[Side] = []
        for tree in pair:
            setup = await stack.enter_async_context(prepared(straps, **how))
            sides.append(Side(setup, await stack.enter_async_context(setup.healthd(tree))))
        for setup, _ in sides:
            await setup.until_streaming()
        yield sides


def in_turns(pair: Pair, figure: Figure, number: int) -> list[tuple[Tree, list[float]]]:
    """Return both trees and their values, in another order in every second round."""
    sides = [(pair.new, figure.product), (pair.old, figure.floor)]
    return sides if number % 2 else sides[::-1]
