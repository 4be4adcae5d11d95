"""structlog as healthd uses it: JSON lines where no person watches, a console where one does."""

import logging
import re
import sys
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

# Addresses are health data by association; BlueZ writes them with underscores in object paths.
_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}[:_-]){5}[0-9A-Fa-f]{2}")


def get_logger(**context: Any) -> FilteringBoundLogger:
    """A logger that carries ``context`` on each of its lines."""
    logger: FilteringBoundLogger = structlog.get_logger(**context)
    return logger


def configure(level: str = "info", *, stream: TextIO | None = None) -> None:
    """Send every log line of this process to ``stream`` (default: standard error).

    Args:
        level: least level that is written: debug, info, warning or error.
        stream: a terminal gets coloured lines, anything else one JSON object a line.
    """
    stream = cast(TextIO, sys.stderr) if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _when_and_what_first,
    ]
    factory: Any
    if stream.isatty():
        processors += [structlog.dev.ConsoleRenderer(pad_event_to=12)]
        factory = structlog.PrintLoggerFactory(stream)
    else:
        processors += [structlog.processors.format_exc_info]
        processors += [structlog.processors.JSONRenderer(serializer=_dumps)]
        factory = structlog.BytesLoggerFactory(stream.buffer)
    if number > logging.DEBUG:
        processors.insert(-1, redact)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    _adopt_library_logs()


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take Bluetooth addresses out of every text of a line."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _ADDRESS.sub("<address>", value)
    return event


def _when_and_what_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: event.pop(key) for key in ("timestamp", "level", "event")} | dict(event)


def _dumps(value: object, **_: object) -> bytes:
    # default=str: a value that JSON cannot hold must not cost the line.
    return orjson.dumps(value, default=str)


class _LibraryLogs(logging.Handler):
    """Hands what libraries say through the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        log = get_logger(library=record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def _adopt_library_logs() -> None:
    root = logging.getLogger()
    root.handlers = [_LibraryLogs()]
    # Libraries narrate at info; what they narrate is already one of our transitions.
    root.setLevel(logging.WARNING)
