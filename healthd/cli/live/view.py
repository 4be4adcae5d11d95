"""Messages for people and for programs: a table on a terminal, one line a message elsewhere."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

import orjson

from healthd.errors import HealthdError
from healthd.log import configure
from healthd.mqtt.arrivals import Message
from healthd.mqtt.topics import place_of
from healthd.samples import utc_text

if TYPE_CHECKING:
    from rich.live import Live

# Faster than anybody reads, slow enough to cost nothing.
_REFRESH_HZ = 4


class Unread(HealthdError):
    """Nobody reads what is shown any more: the other end of the pipe is closed."""


class View(Protocol):
    """Where messages are shown."""

    def show(self, message: Message) -> None:
        """A message arrived.

        Raises:
            Unread: nobody reads it.
        """
        ...

    def on_broker(self, fault: str | None) -> None:
        """The broker is away, and why; None: it is there."""
        ...


class Lines:
    """Topic and payload, one line a message, as ``mosquitto_sub -v`` writes them."""

    def show(self, message: Message) -> None:
        """See ``View``."""
        _write(f"{message.topic} {_text(message.payload)}")

    def on_broker(self, fault: str | None) -> None:
        """See ``View``; the log tells of it."""


class JsonLines:
    """One JSON object a message: what its topic says, when it came, and its payload."""

    def __init__(self, prefix: str) -> None:
        """Read topics below this."""
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
            "payload": _parsed(message.payload),
        }
        _write(orjson.dumps(line).decode())

    def on_broker(self, fault: str | None) -> None:
        """See ``View``; the log tells of it."""


@asynccontextmanager
async def view(
    title: str, caption: str, level: str, prefix: str, *, as_json: bool = False
) -> AsyncGenerator[View]:
    """The view that suits standard output, and logs beside it, while the block runs.

    Args:
        title: what stands above a table.
        caption: what stands below it.
        level: of the log.
        prefix: first level or levels of the topics.
        as_json: for a program, wherever standard output leads.
    """
    if as_json or not sys.stdout.isatty():
        configure(level)
        yield JsonLines(prefix) if as_json else Lines()
        return
    # Imported late: who reads lines does not wait for what draws.
    from rich.live import Live

    from healthd.cli.contract.channels import published
    from healthd.cli.live.table import LiveTable
    from healthd.profiles import registry

    # A terminal that has no bars shows question marks: better than nothing at all.
    cast("TextIOWrapper", sys.stdout).reconfigure(errors="replace")
    results = {kind for kind, model in published(registry.load()).items() if model.retained}
    table = LiveTable(title, caption, prefix, results)
    try:
        # Log lines on the terminal go above the table: rich takes standard error over meanwhile.
        with Live(table, auto_refresh=False, redirect_stdout=False) as live:
            configure(level)
            async with asyncio.TaskGroup() as tasks:
                drawing = tasks.create_task(_draw(live))
                yield table
                drawing.cancel()
    finally:
        configure(level)


async def _draw(live: "Live") -> NoReturn:
    """Keep it drawn: here, as rich's own thread and a log line at once would tear it."""
    while True:
        await asyncio.sleep(1 / _REFRESH_HZ)
        live.refresh()


def _write(line: str) -> None:
    try:
        print(line, flush=True)  # noqa: T201
    except BrokenPipeError as error:
        # What could not be written is still in the buffer, and Python would try once more at its
        # end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Unread from error


def _text(payload: bytes) -> str:
    return payload.decode("utf-8", "replace")


def _parsed(payload: bytes) -> object:
    try:
        value: object = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return _text(payload)
    return value
