"""The table, for a terminal and for docs/performance.md."""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.comparison.contenders import Row
from benchmarks.figures import Figure

OF_FLOORS = ("healthd", "floor")
OF_TREES = ("new", "old")
"""What the two columns of values are called."""

# The columns with text; all others have numbers, which are right-aligned.
_TEXTS = ("what", "")


class Table(NamedTuple):
    """A table, and notes that belong below it."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]

    def text(self) -> str:
        """Return columns for a terminal."""
        rows = [self.headings, *self.rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if heading in _TEXTS else cell.rjust(width)
                for heading, cell, width in zip(self.headings, row, widths, strict=True)
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def markdown(self) -> str:
        """Return the table as in docs/performance.md."""
        marks = ["---" if heading in _TEXTS else "--:" for heading in self.headings]
        rows = [self.headings, marks, *self.rows]
        table = [f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in row)}|" for row in rows]
        return "\n".join([*table, "", *(f"- {note}" for note in self.notes)])


def of_figures(figures: Sequence[Figure], names: tuple[str, str]) -> Table:
    """Return a row per figure; ``names`` are those of the columns of values."""
    headings = ("what", *names, "ratio", "spread", "budget", "")
    return Table(headings, [_cells(one) for one in figures], _notes(figures))


def of_peers(rows: Sequence[Row], names: Sequence[str]) -> Table:
    """Return a row per measurement, with healthd's value as a multiple of each other one's."""
    headings = ["what", names[0], *(text for name in names[1:] for text in (name, "ratio"))]
    return Table(headings, [_of_peers(row) for row in rows], _notes(rows))


def _of_peers(row: Row) -> list[str]:
    mine, *others = (_short(statistics.median(values)) for values in row.values)
    ratios = [f"{row.ratio(other):.2f} ×" for other in range(1, len(row.values))]
    pairs = zip(others, ratios, strict=True)
    return [row.what, f"{mine} {row.unit}".rstrip(), *(cell for pair in pairs for cell in pair)]


def _cells(figure: Figure) -> tuple[str, ...]:
    ratio, ratios = figure.ratio, figure.ratios
    # The range of the rounds: of the ratio if there is one, because the machine is shared.
    spread = ratios or figure.product
    return (
        figure.what,
        f"{_short(figure.value)} {figure.unit}".rstrip(),
        _short(statistics.median(figure.floor)) if figure.floor else "",
        "" if ratio is None else f"{ratio:.2f} ×",
        f"{_short(min(spread))} – {_short(max(spread))}" if len(spread) > 1 else "",
        str(figure.budget) if figure.budget else "",
        figure.verdict,
    )


def _notes(rows: Iterable[Figure | Row]) -> list[str]:
    return [f"{row.what}: {row.note}." for row in rows if row.note]


def _short(value: float) -> str:
    """Format three significant digits, and all digits before the point."""
    if value and abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"
