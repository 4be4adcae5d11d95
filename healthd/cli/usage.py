"""The group of all commands: a mistake on the command line is repeated safely."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import typer
from typer.core import TyperGroup

from healthd.cli.console import LINE_CELLS
from healthd.printable import printable

# typer carries its own copy of click from 0.20 on, so click's name of this class is not stable.
_UsageError = cast("type[Exception]", typer.BadParameter.__base__)


class Commands(TyperGroup):
    """Shows arguments in messages without the characters that could control the terminal."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Parse the options before the command; see click."""
        with _safe_messages():
            return super().make_context(*args, **more)

    def invoke(self, *args: Any, **more: Any) -> Any:
        """Parse the command's own arguments and run it; see click."""
        with _safe_messages():
            return super().invoke(*args, **more)


@contextmanager
def _safe_messages() -> Generator[None]:
    try:
        yield
    except _UsageError as error:
        message = getattr(error, "message", None)
        if isinstance(message, str):
            cast("Any", error).message = printable(message, LINE_CELLS)
        raise
