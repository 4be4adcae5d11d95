"""What a measurement gives: the product's values, the floor's beside them, and the budget."""

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Effort(NamedTuple):
    """How thoroughly to measure.

    Attributes:
        rounds: how often product and floor take turns.
        scale: of counts and durations; 1 is what the figures in docs/performance.md are made of.
    """

    rounds: int
    scale: float

    def count(self, full: int) -> int:
        """So many, or fewer."""
        return max(round(full * self.scale), 100)

    def seconds(self, full: float) -> float:
        """So long, or shorter."""
        return max(full * self.scale, 1.0)


THOROUGH = Effort(5, 1.0)
QUICK = Effort(1, 0.02)


class Budget(NamedTuple):
    """What DESIGN.md asks for.

    Attributes:
        limit: the value.
        of_ratio: of the ratio to the floor; else of the product's own value.
        at_least: the value must not be below it; else it must not be above.
    """

    limit: float
    of_ratio: bool = False
    at_least: bool = False

    def __str__(self) -> str:
        """As the table has it."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:,g}{' ×' if self.of_ratio else ''}"


@dataclass
class Figure:
    """One row of the table.

    Attributes:
        what: was measured.
        unit: of the values.
        product: one value a round.
        floor: of the same rounds; empty where nothing below it could be measured.
        budget: None where none is set.
        note: what the numbers do not say.
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
        """Product by floor, round by round: what both suffered from falls out."""
        return [a / b for a, b in zip(self.product, self.floor, strict=False) if b]

    @property
    def ratio(self) -> float | None:
        """The median of the ratios."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, or nothing where no budget is set."""
        if self.budget is None:
            return ""
        judged = self.ratio if self.budget.of_ratio else self.value
        if judged is None:
            return "not measured"
        met = judged >= self.budget.limit if self.budget.at_least else judged <= self.budget.limit
        return "met" if met else "missed"

    def as_json(self) -> dict[str, Any]:
        """Everything, for a program."""
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
"""A measurement: one or more figures."""


class NotMeasured(Exception):
    """Something that the measurement needs is not on this machine; the text says what."""
