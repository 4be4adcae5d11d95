"""What was seen, as a live table that fits its terminal."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from healthd.cli.live.board import Board, Gateway
from healthd.cli.live.columns import ALWAYS, SPACE, fit
from healthd.cli.live.sparkline import condensed, sparkline
from healthd.cli.live.stream import TREND, Moment, Stream
from healthd.cli.live.wording import Phrase, age_text, phrases, printable, rate_text
from healthd.mqtt.arrivals import Message

# Numbers that grow by a digit must not move what stands beside them.
_LEAST = {"rate": 5, "age": 6}
_RIGHT = ("rate", "age", "samples", "history")

# Around the rows: title, headings, their rule, a caption that may be folded, and what is hidden.
_FRAME_LINES = 6

_STYLES = {"streaming": "green", "online": "green", "offline": "red", "disabled": "red"}
_ON_ITS_WAY = ("searching", "connecting", "preparing")


@dataclass(frozen=True, slots=True)
class _Row:
    """One stream, and whose it is: the first one of a peripheral says so."""

    gateway: str
    peripheral: str
    device: str
    state: Text
    name: str
    stream: Stream


class LiveTable:
    """One row a stream: where it comes from, how it fares, and its newest sample."""

    def __init__(
        self, title: str, caption: str, prefix: str, results: Collection[str] = ()
    ) -> None:
        """Start empty.

        Args:
            title: stands above it.
            caption: stands below it, while the broker is there.
            prefix: see ``Board``.
            results: likewise.
        """
        self._title = title
        self._caption = caption
        self._board = Board(prefix, results)
        self._fault: str | None = "not connected yet"
        self._since = time.monotonic()

    def show(self, message: Message) -> None:
        """See ``View``."""
        self._board.add_message(message, _now())

    def on_broker(self, fault: str | None) -> None:
        """See ``View``."""
        if self._fault is None:
            self._since = time.monotonic()
        self._fault = fault

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table as it stands now."""
        now = _now()
        rows = list(_rows(self._board, now))
        # Without its last rows rather than without its caption.
        shown = rows[: max(1, console.size.height - _FRAME_LINES)]
        yield self._drawn(shown, options.max_width, now)
        yield self._below(len(rows) - len(shown), now)

    def _drawn(self, shown: list[_Row], width: int, now: Moment) -> Table:
        table = Table(
            title=self._title,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, SPACE - 1, 0, 0),  # the box itself has one between two columns
        )
        columns = _columns(shown, now)
        said = [list(phrases(row.name, row.stream.values)) for row in shown]
        widths = fit(_wanted(shown, columns, said), width)
        columns["newest"] = [_newest(one, widths["newest"]) for one in said]
        columns["trend"] = [_trend(row.stream, widths.get("trend", 0)) for row in shown]
        if widths.get("gaps", 0) < max((one.cell_len for one in columns["gaps"]), default=0):
            columns["gaps"] = [Text(str(row.stream.gaps or ""), style="yellow") for row in shown]
        for heading, size in widths.items():
            justify = "right" if heading in _RIGHT else "left"
            table.add_column(heading, justify=justify, width=size, no_wrap=True)
        for cells in zip(*(columns[heading] for heading in widths), strict=True):
            table.add_row(*cells)
        return table

    def _below(self, hidden: int, now: Moment) -> Text:
        text = Text(self._caption, style="dim")
        if self._fault is not None:
            away = f"no broker for {age_text(now.mono - self._since)}"
            text = Text(f"{away}: {printable(self._fault)}; trying again", style="bold red")
        if hidden:
            text.append(f"\n{hidden} more rows: the terminal is too low for them")
        return text


def _now() -> Moment:
    return Moment(time.monotonic(), time.time())


def _rows(board: Board, now: Moment) -> Iterator[_Row]:
    for gateway, of_gateway in sorted(board.gateways.items(), key=itemgetter(0)):
        for peripheral, about in sorted(of_gateway.peripherals.items(), key=itemgetter(0)):
            device = printable(str(about.info.get("name") or ""))
            state = _state(of_gateway, peripheral, now)
            head = (printable(gateway), printable(peripheral), device, state)
            streams = sorted(about.streams.items(), key=itemgetter(0))
            for name, stream in streams or [("", Stream())]:
                yield _Row(*head, printable(name), stream)
                head = ("", "", "", Text())


def _columns(rows: Sequence[_Row], now: Moment) -> dict[str, list[Text]]:
    """The cells of the columns, but of those that depend on the room that there is."""
    return {
        "gateway": [Text(row.gateway) for row in rows],
        "peripheral": [Text(row.peripheral, style="bold") for row in rows],
        "device": [Text(row.device) for row in rows],
        "state": [row.state for row in rows],
        "stream": [Text(row.name) for row in rows],
        "rate": [Text(_rate(row.stream, now)) for row in rows],
        "age": [Text(_age(row.stream, now)) for row in rows],
        "samples": [Text(str(row.stream.samples or "")) for row in rows],
        "history": [Text(str(row.stream.history or "")) for row in rows],
        "gaps": [Text(_gaps(row.stream), style="yellow") for row in rows],
    }


def _wanted(
    rows: Sequence[_Row], columns: dict[str, list[Text]], said: Sequence[Sequence[Phrase]]
) -> dict[str, int]:
    """How wide each column would be if it were up to its cells; without a word it is none."""
    widths = {
        heading: max(len(heading), _LEAST.get(heading, 0), *(one.cell_len for one in cells), 0)
        for heading, cells in columns.items()
        if any(cells) or heading in ALWAYS
    }
    if len({row.gateway for row in rows if row.gateway}) < 2:
        widths.pop("gateway", None)
    if any(row.stream.trend for row in rows):
        widths["trend"] = TREND
    widest = max((sum(map(len, one)) + SPACE * (len(one) - 1) for one in said), default=0)
    return widths | {"newest": max(len("newest"), widest)}


def _newest(said: Sequence[Phrase], width: int) -> Text:
    """As many values as there is room for, and one at least: rather without its label than cut."""
    text = Text()
    if said and len(said[0]) > width:
        said = [Phrase("", said[0].value)]
    for one in said:
        if text and text.cell_len + SPACE + len(one) > width:
            break
        text.append(" " * SPACE if text else "")
        text.append(f"{one.label} " if one.label else "").append(one.value, style="bold")
    return text


def _trend(stream: Stream, width: int) -> Text:
    values = list(stream.trend)
    # No room is no column.
    shown = condensed(values, width or 1) if stream.is_frame else values[-width:]
    return Text(sparkline(shown))


def _rate(stream: Stream, now: Moment) -> str:
    rate = stream.per_second(now)
    return "" if rate is None else rate_text(rate)


def _age(stream: Stream, now: Moment) -> str:
    age_s = stream.age_s(now)
    if age_s is None:
        return "?" if stream.samples else ""
    return age_text(age_s)


def _gaps(stream: Stream) -> str:
    return f"{stream.gaps} {printable(stream.gap_reason)}" if stream.gaps else ""


def _state(gateway: Gateway, peripheral: str, now: Moment) -> Text:
    state, why = gateway.state(peripheral)
    due_s = gateway.due_in_s(peripheral, now)
    if state == "waiting" and not why and due_s is not None:
        why = f"due in {age_text(due_s)}"
    style = "yellow" if state in _ON_ITS_WAY else _STYLES.get(state, "red" if why else "")
    return Text(printable(f"{state} ({why})" if why else state), style=style)
