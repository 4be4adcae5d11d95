"""What lines say that packets cannot."""

from typing import NamedTuple

from healthd.traffic.lines import Line

# A hostile file may have as many different reasons as it has lines.
_MOST_REASONS = 50


class CannotSay(ValueError):
    """A line, or a part of one, has no packet; its text says what, in the plural."""


class Count(NamedTuple):
    """How often something was left out.

    Attributes:
        what: what it is, in the plural.
        lines: in how many lines.
        first_t: ``t`` of the first of them, in seconds.
    """

    what: str
    lines: int
    first_t: float


class Unsaid:
    """Counts what packets do not say."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._counts: dict[str, Count] = {}

    def note(self, what: str, line: Line) -> None:
        """Count a line."""
        if what not in self._counts and len(self._counts) >= _MOST_REASONS:
            what = "other things"
        before = self._counts.get(what, Count(what, 0, line.t))
        self._counts[what] = before._replace(lines=before.lines + 1)

    @property
    def counts(self) -> list[Count]:
        """All of it, in the order of the file."""
        return list(self._counts.values())
