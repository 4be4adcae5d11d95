"""Configures structlog: JSON lines, or coloured lines on a terminal."""

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from io import TextIOWrapper, UnsupportedOperation
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import (
    EventDict,
    ExceptionRenderer,
    ExcInfo,
    FilteringBoundLogger,
    Processor,
    WrappedLogger,
)

from healthd.log.line_writer import LineWriter
from healthd.printable import escaped, printable

# Addresses are health data by association. BlueZ writes them with underscores in object paths.
_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}[:_-]){5}[0-9A-Fa-f]{2}")

# Of a value on a terminal; a device or a broker may send much more.
_VALUE_CELLS = 4000

# The topics of one person's results, which are logged if the broker refuses them.
_PERSON = re.compile(r"\bperson/[a-z0-9_-]+(?=/)")


class Disclosed(str):
    """A text that is logged as it is: an address that its reader has to copy.

    Used where no one can help without it, and nowhere else.
    """

    __slots__ = ()


def get_logger(**context: Any) -> FilteringBoundLogger:
    """Return a logger that adds ``context`` to each of its lines."""
    logger: FilteringBoundLogger = structlog.get_logger(**context)
    return logger


def lines_lost() -> int:
    """Return how many log lines of this process could not be written."""
    writer = _current_writer()
    return 0 if writer is None else writer.lost


def configure(
    level: str = "info", *, stream: TextIO | None = None, hidden: str | None = None
) -> None:
    """Send every log line of this process to ``stream`` (default: standard error).

    Writing to a file, a pipe, a socket or a terminal never blocks and never raises.

    Args:
        level: the lowest level that is written: debug, info, warning or error.
        stream: a terminal gets coloured lines, anything else one JSON object per line.
        hidden: a text that is another one in each run, and is left out of all lines; None: none.
    """
    stream = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    clean = _redacted if number > logging.DEBUG else _unchanged
    processors: list[Processor] = [] if hidden is None else [_each_value(_without(hidden))]
    processors += [
        structlog.processors.add_log_level,
        _timestamp,
        _when_and_what_first,
    ]
    if stream is not None and stream.isatty():
        processors += [_each_value(clean), _each_value(_printable)]
        processors += [
            structlog.dev.ConsoleRenderer(pad_event_to=12, exception_formatter=_tracebacks(clean))
        ]
    else:
        processors += [structlog.processors.format_exc_info, _each_value(clean)]
        processors += [structlog.processors.JSONRenderer(serializer=_dumps)]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_logger_factory(stream, processors),
        cache_logger_on_first_use=False,
    )
    _adopt_library_logs()


class _WriterFactory:
    """Makes the loggers that pass rendered lines to a writer."""

    def __init__(self, writer: LineWriter) -> None:
        self.writer = writer

    def __call__(self, *_: object) -> "_WriterLogger":
        return _WriterLogger(self.writer)


class _WriterLogger:
    """What structlog calls with each rendered line."""

    __slots__ = ("_writer",)

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: str | bytes) -> None:
        self._writer.write(_as_bytes(line))

    debug = info = warning = error = critical = exception = log = msg


def _as_bytes(line: str | bytes) -> bytes:
    return (line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace")) + b"\n"


def _current_writer() -> LineWriter | None:
    factory = structlog.get_config()["logger_factory"]
    return factory.writer if isinstance(factory, _WriterFactory) else None


def _logger_factory(stream: TextIO | None, processors: Iterable[Processor]) -> Any:
    """Return what writes lines to the stream; the writer of an earlier call continues."""

    def notice(count: int) -> bytes:
        line: Any = {"event": "log lines lost", "count": count}
        for process in processors:
            line = process(None, "warning", line)
        return _as_bytes(line)

    before, descriptor = _current_writer(), _descriptor(stream)
    if stream is None or descriptor is not None:
        if before is None or before.descriptor != descriptor:
            _close(before)
            return _WriterFactory(LineWriter(descriptor, notice))
        before.notice = notice
        return _WriterFactory(before)
    _close(before)
    # Memory, or rich's stand-in for a terminal below which it draws a table.
    if stream.isatty():
        return structlog.PrintLoggerFactory(stream)
    return structlog.BytesLoggerFactory(stream.buffer)


def _close(writer: LineWriter | None) -> None:
    if writer is not None:
        writer.close()


def _descriptor(stream: TextIO | None) -> int | None:
    # rich's stand-in has the number of the terminal too, but writes have to pass through rich.
    if not isinstance(stream, TextIOWrapper):
        return None
    try:
        return stream.fileno()
    except UnsupportedOperation:
        return None


def _redacted(value: Any) -> Any:
    """Return the value without addresses and people, also inside mappings and lists."""
    if value is None or isinstance(value, bool | int | float | Disclosed):
        return value
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        return {_redacted(key): _redacted(inner) for key, inner in mapping.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(inner) for inner in cast("Iterable[Any]", value)]
    return _PERSON.sub("person/<person>", _ADDRESS.sub("<address>", str(value)))


def _without(hidden: str) -> Callable[[Any], Any]:
    return lambda value: value.replace(hidden, "…") if isinstance(value, str) else value


def _unchanged(value: Any) -> Any:
    return value


def _printable(value: Any) -> Any:
    """Return the value as it can be shown on a terminal, also inside mappings and lists."""
    if value is None or isinstance(value, bool | int | float | Disclosed):
        return value
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        return {_printable(key): _printable(inner) for key, inner in mapping.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_printable(inner) for inner in cast("Iterable[Any]", value)]
    return printable(str(value), _VALUE_CELLS)


def _each_value(clean: Callable[[Any], Any]) -> Processor:
    def process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        # On a terminal the exception is still an object here; it is cleaned when it is written.
        return {key: event[key] if key == "exc_info" else clean(event[key]) for key in event}

    return process


def _tracebacks(clean: Callable[[Any], Any]) -> ExceptionRenderer:
    def write(stream: TextIO, exc_info: ExcInfo) -> None:
        lines = clean("".join(traceback.format_exception(*exc_info))).split("\n")
        stream.write("\n" + "\n".join(map(printable, lines)))

    return write


def _timestamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # structlog's own asks the system, and the time of a replay is another one.
    event["timestamp"] = datetime.fromtimestamp(time.time(), UTC).isoformat()[:-6] + "Z"
    return event


def _when_and_what_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: event.pop(key) for key in ("timestamp", "level", "event")} | dict(event)


def _dumps(value: object, **_: object) -> bytes:
    # A value that JSON cannot represent must not lose the line.
    try:
        line = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        line = orjson.dumps(_as_text(value))
    # Programs that show a log print it on a terminal, and some end a line at U+2028.
    return escaped(line.decode()).encode()


def _as_text(value: Any) -> Any:
    """Convert everything inside mappings and lists to text that is valid UTF-8."""
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        return {_as_text(key): _as_text(inner) for key, inner in mapping.items()}
    if isinstance(value, list | tuple):
        return [_as_text(inner) for inner in cast("Iterable[Any]", value)]
    return str(value).encode("utf-8", "backslashreplace").decode()


class _LibraryLogs(logging.Handler):
    """Passes what libraries log through the standard library on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        log = get_logger(library=record.name)
        # Libraries define levels of their own; structlog knows only the five standard ones.
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        log.log(level, record.getMessage(), exc_info=record.exc_info or None)


def _adopt_library_logs() -> None:
    root = logging.getLogger()
    root.handlers = [_LibraryLogs()]
    # What libraries log at info, healthd logs already as a transition.
    root.setLevel(logging.WARNING)
