"""The result of a measurement: the values of product and floor, and the budget."""

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Effort(NamedTuple):
    """How thoroughly to measure.

    Attributes:
        rounds: how often product and floor take turns.
        scale: factor for counts and durations; the figures in docs/performance.md use 1.
    """

    rounds: int
    scale: float

    def count(self, full: int) -> int:
        """Return the count, scaled."""
        return max(round(full * self.scale), 100)

    def seconds(self, full: float) -> float:
        """Return the duration, scaled."""
        return max(full * self.scale, 1.0)


THOROUGH = Effort(5, 1.0)
QUICK = Effort(1, 0.02)


class Budget(NamedTuple):
    """A limit set by DESIGN.md.

    Attributes:
        limit: the limit.
        of_ratio: whether it applies to the ratio to the floor, not to the product's own value.
        at_least: whether it is a minimum, not a maximum.
    """

    limit: float
    of_ratio: bool = False
    at_least: bool = False

    def __str__(self) -> str:
        """Format the budget for the table."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:,g}{' ×' if self.of_ratio else ''}"


@dataclass
class Figure:
    """One row of the table.

    Attributes:
        what: title of the row.
        unit: unit of the values.
        product: one value per round.
        floor: the floor's values of the same rounds; empty if there is no floor.
        budget: None if there is none.
        note: what the numbers do not show.
    """

    what: str
    unit: str
    product: list[float] = field(default_factory=list[float])
    floor: list[float] = field(default_factory=list[float])
    budget: Budget | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """The product's median."""
        return statistics.median(self.product)

    @property
    def ratios(self) -> list[float]:
        """Product by floor, round by round: what slows both down cancels out."""
        return [a / b for a, b in zip(self.product, self.floor, strict=False) if b]

    @property
    def ratio(self) -> float | None:
        """The median of the ratios."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def verdict(self) -> str:
        """``met`` or ``missed``; empty if there is no budget."""
        if self.budget is None:
            return ""
        judged = self.ratio if self.budget.of_ratio else self.value
        if judged is None:
            return "not measured"
        met = judged >= self.budget.limit if self.budget.at_least else judged <= self.budget.limit
        return "met" if met else "missed"

    def as_json(self) -> dict[str, Any]:
        """Return all values, for programs."""
        return {
            "what": self.what,
            "unit": self.unit,
            "median": self.value,
            "floor": statistics.median(self.floor) if self.floor else None,
            "ratio": self.ratio,
            "budget": str(self.budget) if self.budget else None,
            "verdict": self.verdict or None,
            "product_rounds": self.product,
            "floor_rounds": self.floor,
            "note": self.note,
        }


Measure = Callable[[Effort], Awaitable[list[Figure]]]
"""A measurement, which returns one or more figures."""


class NotMeasured(Exception):
    """This machine lacks something that the measurement needs; the text says what."""
