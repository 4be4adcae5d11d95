"""Tables and text with styles for a terminal; no markup of rich is read from any text."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table
from rich.text import Text

from healthd.cli.console import LINE_CELLS
from healthd.printable import printable

# Wider than the columns for names; rich cuts or folds a cell to its column. Messages are lines.
_CELL_CELLS = 200


def cell(value: object, style: str = "") -> Text:
    """Return text from anywhere as the content of a cell or of a line."""
    return Text(printable(str(value), _CELL_CELLS), style)


def line(value: object) -> Text:
    """Return a line of a report."""
    return Text(printable(str(value), LINE_CELLS))


def table(*headings: str) -> Table:
    """Return a table without rows."""
    return Table(*(Column(cell(heading)) for heading in headings))


def add_row(to: Table, *values: object) -> None:
    """Add a row of texts."""
    to.add_row(*map(cell, values))


def show(*parts: Table | Text, soft_wrap: bool = False) -> None:
    """Print each of these on a line of its own.

    Args:
        parts: what to print.
        soft_wrap: leave it to the terminal to break lines that are too long.
    """
    console = Console(soft_wrap=soft_wrap)
    for part in parts:
        console.print(part)


@contextmanager
def progress(what: str, total: int) -> Generator[Callable[[int], None]]:
    """Yield what shows how far a command is: a bar on standard error.

    There is none if standard error is not a terminal, or if the lines that the command prints go to
    one.

    Args:
        what: what the command does, in a word.
        total: the number at the end; a call with a number shows that it is reached.
    """
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda _: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda reached: bar.update(task, completed=reached)
