"""Configures structlog: JSON lines, or coloured lines on a terminal."""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
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

# Addresses are health data by association. BlueZ writes them with underscores in object paths.
_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}[:_-]){5}[0-9A-Fa-f]{2}")


def get_logger(**context: Any) -> FilteringBoundLogger:
    """Return a logger that adds ``context`` to each of its lines."""
    logger: FilteringBoundLogger = structlog.get_logger(**context)
    return logger


def configure(level: str = "info", *, stream: TextIO | None = None) -> None:
    """Send every log line of this process to ``stream`` (default: standard error).

    Args:
        level: the lowest level that is written: debug, info, warning or error.
        stream: a terminal gets coloured lines, anything else one JSON object per line.
    """
    stream = cast(TextIO, sys.stderr) if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    clean = _redacted if number > logging.DEBUG else _unchanged
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _when_and_what_first,
    ]
    factory: Any
    if stream.isatty():
        processors += [_each_value(clean)]
        processors += [
            structlog.dev.ConsoleRenderer(pad_event_to=12, exception_formatter=_tracebacks(clean))
        ]
        factory = structlog.PrintLoggerFactory(stream)
    else:
        processors += [structlog.processors.format_exc_info, _each_value(clean)]
        processors += [structlog.processors.JSONRenderer(serializer=_dumps)]
        factory = structlog.BytesLoggerFactory(stream.buffer)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    _adopt_library_logs()


def _redacted(value: Any) -> Any:
    """Return the value without Bluetooth addresses, also inside mappings and lists."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        return {_redacted(key): _redacted(inner) for key, inner in mapping.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(inner) for inner in cast("Iterable[Any]", value)]
    return _ADDRESS.sub("<address>", str(value))


def _unchanged(value: Any) -> Any:
    return value


def _each_value(clean: Callable[[Any], Any]) -> Processor:
    def process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        # On a terminal the exception is still an object here; it is cleaned when it is written.
        return {key: event[key] if key == "exc_info" else clean(event[key]) for key in event}

    return process


def _tracebacks(clean: Callable[[Any], Any]) -> ExceptionRenderer:
    def write(stream: TextIO, exc_info: ExcInfo) -> None:
        stream.write("\n" + clean("".join(traceback.format_exception(*exc_info))))

    return write


def _when_and_what_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: event.pop(key) for key in ("timestamp", "level", "event")} | dict(event)


def _dumps(value: object, **_: object) -> bytes:
    # A value that JSON cannot represent must not lose the line.
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return orjson.dumps(_as_text(value))


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
