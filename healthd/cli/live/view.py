"""Show messages: a live table on a terminal, otherwise one line per message."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import orjson

from healthd.cli import console
from healthd.cli.live.payload import readable, text_of
from healthd.errors import HealthdError
from healthd.log import configure
from healthd.mqtt.arrivals import Message
from healthd.mqtt.topics import place_of
from healthd.samples import utc_text

if TYPE_CHECKING:
    from rich.live import Live

# Fast enough to look live, slow enough to cost almost nothing.
_REFRESH_HZ = 4


class ReaderGone(HealthdError):
    """The reader of the output is gone: the other end of the pipe is closed."""


class View(Protocol):
    """A way to show messages."""

    def show(self, message: Message) -> None:
        """Show a message.

        Raises:
            ReaderGone: the output is closed.
        """
        ...

    def set_broker_fault(self, fault: str | None) -> None:
        """Show why the broker is not connected; None if it is connected."""
        ...


class Lines:
    """One line per message, topic and payload, like ``mosquitto_sub -v``."""

    def show(self, message: Message) -> None:
        """See ``View``."""
        _say(f"{message.topic} {text_of(message.payload)}")

    def set_broker_fault(self, fault: str | None) -> None:
        """Do nothing: the log reports it."""


class JsonLines:
    """One JSON object per message: time of arrival, topic, its parts, and payload."""

    def __init__(self, prefix: str) -> None:
        """Parse topics below ``prefix``."""
        self._prefix = prefix

    def show(self, message: Message) -> None:
        """See ``View``."""
        place = place_of(message.topic, self._prefix)
        line: dict[str, Any] = {
            "arrived": utc_text(time.time_ns()),
            "topic": message.topic,
            "retained": message.retained,
            "gateway": place.gateway if place else None,
            "peripheral": (place.peripheral or None) if place else None,
            "stream": place.stream if place else None,
            "history": place.history if place else False,
            "payload": readable(message.payload),
        }
        _say(orjson.dumps(line).decode())

    def set_broker_fault(self, fault: str | None) -> None:
        """Do nothing: the log reports it."""


@asynccontextmanager
async def lines_view(level: str, hidden: str) -> AsyncGenerator[View]:
    """Yield lines even on a terminal; see ``view``.

    Args:
        level: log level.
        hidden: a text that the log leaves out.
    """
    configure(level, hidden=hidden)
    try:
        yield Lines()
    finally:
        configure(level)


@asynccontextmanager
async def view(
    title: str, caption: str, level: str, prefix: str, *, as_json: bool = False
) -> AsyncGenerator[View]:
    """Yield the view for standard output, with the log set up so that it does not disturb it.

    Args:
        title: the line above a table.
        caption: the line below a table.
        level: log level.
        prefix: first level or levels of the topics.
        as_json: write JSON, even on a terminal.
    """
    if as_json or not sys.stdout.isatty():
        configure(level)
        yield JsonLines(prefix) if as_json else Lines()
        return
    # Imported late: only the table needs rich.
    from rich.live import Live

    from healthd.cli.contract.schema import published
    from healthd.cli.live.table import LiveTable
    from healthd.profiles import registry

    results = {kind for kind, model in published(registry.load()).items() if model.retained}
    table = LiveTable(title, caption, prefix, results)
    try:
        # rich redirects standard error, so log lines appear above the table.
        with Live(table, auto_refresh=False, redirect_stdout=False) as live:
            configure(level)
            async with asyncio.TaskGroup() as tasks:
                drawing = tasks.create_task(_draw(live), name="live-table")
                yield table
                drawing.cancel()
    finally:
        configure(level)


async def _draw(live: "Live") -> NoReturn:
    """Redraw the table here: rich's own thread could collide with a log line."""
    while True:
        await asyncio.sleep(1 / _REFRESH_HZ)
        live.refresh()


def _say(line: str) -> None:
    try:
        console.say_data(line)
    except BrokenPipeError as error:
        # The unwritten data is still in the buffer: at its end Python would try to write it again
        # and print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ReaderGone from error
