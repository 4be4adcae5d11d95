"""The table, for a terminal and for docs/performance.md."""

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.figures import Figure

OF_FLOORS = ("healthd", "floor")
OF_TREES = ("new", "old")
"""What the two columns of values are called."""

# Columns with numbers, which are right-aligned.
_NUMBERS = (1, 2, 3, 4, 5)


def text(figures: Iterable[Figure], names: tuple[str, str]) -> str:
    """Return columns for a terminal, with notes below; ``names`` of the columns of values."""
    figures, headings = list(figures), _headings(names)
    rows = [headings, *(_cells(one) for one in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *_notes(figures, "  ")])


def markdown(figures: Iterable[Figure], names: tuple[str, str]) -> str:
    """Return the table as in docs/performance.md; ``names`` of the columns of values."""
    figures, headings = list(figures), _headings(names)
    marks = ["--:" if column in _NUMBERS else "---" for column in range(len(headings))]
    rows: list[Sequence[str]] = [headings, marks, *(_cells(one) for one in figures)]
    table = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows]
    return "\n".join([*table, "", *_notes(figures, "- ")])


def _headings(names: tuple[str, str]) -> tuple[str, ...]:
    return ("what", *names, "ratio", "spread", "budget", "")


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


def _notes(figures: Iterable[Figure], bullet: str) -> list[str]:
    return [f"{bullet}{one.what}: {one.note}." for one in figures if one.note]


def _short(value: float) -> str:
    """Format three significant digits, and all digits before the point."""
    if value and abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"
