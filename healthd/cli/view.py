"""Samples for people: a live table on a terminal, one line a message everywhere else."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import orjson
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from healthd.log import configure
from healthd.mqtt.acked_client import Message

# Faster than anybody reads, slow enough to cost nothing.
_REFRESH_HZ = 4

# The envelope says who and when; the table has columns for that.
_ENVELOPE = {"id", "time", "clock", "seq"}

# More beats than these fit into no second.
_MOST_ITEMS = 8
_THREE_DIGITS = 100

_STATE_STYLES = {"streaming": "green", "searching": "yellow", "waiting": "red"}


class View(Protocol):
    """Where messages are shown."""

    def show(self, message: Message) -> None:
        """A message arrived."""
        ...


class Lines:
    """Topic and payload, one line a message, as ``mosquitto_sub -v`` writes them."""

    def show(self, message: Message) -> None:
        """See ``View``."""
        text = message.payload.decode("utf-8", "replace")
        print(message.topic, text, flush=True)  # noqa: T201


@dataclass(slots=True)
class _Row:
    """The newest sample of one stream."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    count: int = 0
    arrived: float = 0.0


class LiveTable:
    """One row a stream, one state a peripheral."""

    def __init__(self, title: str, caption: str) -> None:
        """The caption stands below the table."""
        self._title = title
        self._caption = caption
        self._rows: dict[tuple[str, str], _Row] = {}
        self._info: dict[str, dict[str, Any]] = {}

    def show(self, message: Message) -> None:
        """See ``View``."""
        peripheral, stream = _device_topic(message.topic)
        if peripheral is None:
            return
        if stream == "info":
            self._info[peripheral] = _json_object(message.payload)
        elif stream != "status":
            row = self._rows.setdefault((peripheral, stream), _Row())
            row.values = _json_object(message.payload)
            row.count += 1
            row.arrived = time.monotonic()

    def __rich__(self) -> Table:
        """The table as it stands now."""
        table = Table(title=self._title, caption=self._caption, expand=True)
        for heading in ("peripheral", "device", "state", "stream", "newest", "samples", "age"):
            justify = "right" if heading in ("samples", "age") else "left"
            table.add_column(heading, justify=justify, overflow="fold")
        streams: dict[str, list[tuple[str, _Row]]] = {name: [] for name in self._info}
        for (peripheral, stream), row in self._rows.items():
            streams.setdefault(peripheral, []).append((stream, row))
        now = time.monotonic()
        for peripheral in sorted(streams):
            info = self._info.get(peripheral, {})
            head = [Text(peripheral), Text(str(info.get("name") or "")), _state(info)]
            for stream, row in sorted(streams[peripheral]) or [("", _Row())]:
                age = f"{now - row.arrived:.1f} s" if row.count else ""
                table.add_row(*head, Text(stream), _values(row.values), str(row.count or ""), age)
                head = [Text()] * 3
        return table


@contextmanager
def view(title: str, caption: str, level: str) -> Generator[View]:
    """The view that suits standard output, and logs beside it, while the block runs."""
    if not sys.stdout.isatty():
        configure(level)
        yield Lines()
        return
    table = LiveTable(title, caption)
    console = Console()
    # Log lines on the terminal go above the table: rich takes standard error over meanwhile.
    with Live(table, console=console, refresh_per_second=_REFRESH_HZ, redirect_stdout=False):
        configure(level)
        yield table
    configure(level)


def _device_topic(topic: str) -> tuple[str | None, str]:
    """Peripheral and stream of a topic below ``<prefix>/<gateway>/device``."""
    _, _, below = topic.partition("/device/")
    peripheral, _, stream = below.partition("/")
    return (peripheral, stream) if stream else (None, "")


def _json_object(payload: bytes) -> dict[str, Any]:
    try:
        value: object = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _values(values: dict[str, Any]) -> Text:
    text = Text()
    for key, value in values.items():
        if key not in _ENVELOPE:
            text.append(f"{key} ").append(_text(value), style="bold").append("  ")
    return text


def _text(value: object) -> str:
    if not isinstance(value, list):
        return _scalar(value)
    items = cast("list[object]", value)
    shown = " ".join(map(_scalar, items[-_MOST_ITEMS:])) or "none"
    # A frame of a raw signal would push everything else off the screen.
    return shown if len(items) <= _MOST_ITEMS else f"{len(items)} values … {shown}"


def _scalar(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list | dict):
        return "…"  # deeper than a line has room for
    if not isinstance(value, float):
        return str(value)
    # Four digits, and a decimal at least: 803.7 ms, 2.806 m/s, 48.86 degrees.
    return f"{value:.1f}" if abs(value) >= _THREE_DIGITS else f"{value:.4g}"


def _state(info: dict[str, Any]) -> Text:
    state = str(info.get("state", ""))
    text = Text(state, style=_STATE_STYLES.get(state, "cyan"))
    return text.append(f" ({info['reason']})") if "reason" in info else text
