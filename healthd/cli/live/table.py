"""A live table of everything seen on a broker, fitted to the terminal."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from healthd.cli.live.board import Board, Gateway
from healthd.cli.live.columns import ALWAYS, SPACE, fit
from healthd.cli.live.sparkline import condensed, sparkline
from healthd.cli.live.stream import TREND, Moment, Stream
from healthd.cli.live.wording import Phrase, age_text, phrases, rate_text
from healthd.cli.tables import cell
from healthd.mqtt.arrivals import Message

# Minimum widths: a number that grows by a digit must not move the columns next to it.
_LEAST = {"rate": 5, "age": 6}
_RIGHT = ("rate", "age", "samples", "history")

# Lines around the rows: title, headings, rule, a caption of two lines, and the hint on hidden rows.
_FRAME_LINES = 6

_STYLES = {"streaming": "green", "online": "green", "offline": "red", "disabled": "red"}
_CONNECTING = ("searching", "connecting", "preparing")


@dataclass(frozen=True, slots=True)
class _Row:
    """One stream; only the first row of a peripheral shows the columns before the stream."""

    gateway: str
    peripheral: str
    device: str
    state: Text
    name: str
    stream: Stream


class LiveTable:
    """A table with one row per stream: its source, its state and its newest sample."""

    def __init__(
        self, title: str, caption: str, prefix: str, results: Collection[str] = ()
    ) -> None:
        """Start empty.

        Args:
            title: the line above the table.
            caption: the line below the table while the broker is connected.
            prefix: see ``Board``.
            results: see ``Board``.
        """
        self._title = title
        self._caption = caption
        self._board = Board(prefix, results)
        self._fault: str | None = "not connected yet"
        self._since = time.monotonic()

    def show(self, message: Message) -> None:
        """See ``View``."""
        self._board.add_message(message, _now())

    def set_broker_fault(self, fault: str | None) -> None:
        """See ``View``."""
        if self._fault is None:
            self._since = time.monotonic()
        self._fault = fault

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table with its present content."""
        now = _now()
        # If the terminal is too low, leave out the last rows, not the caption.
        notes = list(_notes(self._board))
        most = max(1, console.size.height - _FRAME_LINES - len(notes))
        visible = list(islice(_rows(self._board, now), most))
        yield self._draw(visible, options.max_width, now)
        yield self._footer(_count(self._board) - len(visible), notes, now)

    def _draw(self, rows: list[_Row], width: int, now: Moment) -> Table:
        table = Table(
            title=cell(self._title),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, SPACE - 1, 0, 0),  # the box adds one space between columns
        )
        columns = _columns(rows, now)
        samples = [list(phrases(row.name, row.stream.values)) for row in rows]
        widths = fit(_wanted(rows, columns, samples), width)
        columns["newest"] = [_newest(sample, widths["newest"]) for sample in samples]
        columns["trend"] = [_trend(row.stream, widths.get("trend", 0)) for row in rows]
        if widths.get("gaps", 0) < max((cell.cell_len for cell in columns["gaps"]), default=0):
            columns["gaps"] = [cell(row.stream.gaps or "", "yellow") for row in rows]
        for heading, size in widths.items():
            justify = "right" if heading in _RIGHT else "left"
            table.add_column(heading, justify=justify, width=size, no_wrap=True)
        for cells in zip(*(columns[heading] for heading in widths), strict=True):
            table.add_row(*cells)
        return table

    def _footer(self, hidden: int, notes: Sequence[str], now: Moment) -> Text:
        text = cell(self._caption, "dim")
        if self._fault is not None:
            away = f"no connection to the broker for {age_text(now.mono - self._since)}"
            text = cell(f"{away}: {self._fault}; retrying", "bold red")
        if hidden:
            text.append(f"\n{hidden} more rows: enlarge the terminal to see them")
        for note in notes:
            text.append(f"\n{note}")
        return text


def _now() -> Moment:
    return Moment(time.monotonic(), time.time())


def _rows(board: Board, now: Moment) -> Iterator[_Row]:
    for gateway_id, gateway in sorted(board.gateways.items(), key=itemgetter(0)):
        for peripheral_id, peripheral in sorted(gateway.peripherals.items(), key=itemgetter(0)):
            device = str(peripheral.info.get("name") or "")
            state = _state(gateway, peripheral_id, now)
            head = (gateway_id, peripheral_id, device, state)
            streams = sorted(peripheral.streams.items(), key=itemgetter(0))
            for name, stream in streams or [("", Stream())]:
                yield _Row(*head, name, stream)
                head = ("", "", "", cell(""))


def _notes(board: Board) -> Iterator[str]:
    """Yield what the rows do not show."""
    if board.left_out:
        yield f"{board.left_out} messages not shown: more streams or values than fit into memory"
    if board.unreadable:
        yield f"{board.unreadable} messages are not readable: damaged, or not from healthd"


def _count(board: Board) -> int:
    """Return the number of rows."""
    return sum(
        len(peripheral.streams) or 1
        for gateway in board.gateways.values()
        for peripheral in gateway.peripherals.values()
    )


def _columns(rows: Sequence[_Row], now: Moment) -> dict[str, list[Text]]:
    """Return the cells of all columns except those that depend on the available width."""
    return {
        "gateway": [cell(row.gateway) for row in rows],
        "peripheral": [cell(row.peripheral, "bold") for row in rows],
        "device": [cell(row.device) for row in rows],
        "state": [row.state for row in rows],
        "stream": [cell(row.name) for row in rows],
        "rate": [cell(_rate(row.stream, now)) for row in rows],
        "age": [cell(_age(row.stream, now)) for row in rows],
        "samples": [cell(row.stream.samples or "") for row in rows],
        "history": [cell(row.stream.history or "") for row in rows],
        "gaps": [cell(_gaps(row.stream), "yellow") for row in rows],
    }


def _wanted(
    rows: Sequence[_Row], columns: dict[str, list[Text]], samples: Sequence[Sequence[Phrase]]
) -> dict[str, int]:
    """Return the width that the cells of each column need; empty columns are left out."""
    widths = {
        heading: max(len(heading), _LEAST.get(heading, 0), *(cell.cell_len for cell in cells), 0)
        for heading, cells in columns.items()
        if any(cells) or heading in ALWAYS
    }
    if len({row.gateway for row in rows if row.gateway}) < 2:
        widths.pop("gateway", None)
    if any(row.stream.trend for row in rows):
        widths["trend"] = TREND
    lengths = (sum(map(len, sample)) + SPACE * (len(sample) - 1) for sample in samples)
    widest = max(lengths, default=0)
    return widths | {"newest": max(len("newest"), widest)}


def _newest(sample: Sequence[Phrase], width: int) -> Text:
    """Return as many values as fit, but at least one: without its label if that does not fit."""
    text = cell("")
    if sample and len(sample[0]) > width:
        sample = [Phrase("", sample[0].value)]
    for phrase in sample:
        if text and text.cell_len + SPACE + len(phrase) > width:
            break
        text.append(" " * SPACE if text else "")
        text.append(f"{phrase.label} " if phrase.label else "").append(cell(phrase.value, "bold"))
    return text


def _trend(stream: Stream, width: int) -> Text:
    values = list(stream.trend)
    # With a width of 0 the column is not shown.
    bars = condensed(values, width or 1) if stream.is_frame else values[-width:]
    return cell(sparkline(bars))


def _rate(stream: Stream, now: Moment) -> str:
    rate = stream.per_second(now)
    return "" if rate is None else rate_text(rate)


def _age(stream: Stream, now: Moment) -> str:
    age_s = stream.age_s(now)
    if age_s is None:
        return "?" if stream.samples else ""
    return age_text(age_s)


def _gaps(stream: Stream) -> str:
    return f"{stream.gaps} {stream.gap_reason}" if stream.gaps else ""


def _state(gateway: Gateway, peripheral: str, now: Moment) -> Text:
    state, reason = gateway.state(peripheral)
    due_s = gateway.due_in_s(peripheral, now)
    if state == "waiting" and not reason and due_s is not None:
        reason = f"due in {age_text(due_s)}"
    style = "yellow" if state in _CONNECTING else _STYLES.get(state, "red" if reason else "")
    return cell(f"{state} ({reason})" if reason else state, style)
