"""The only way from a command to its standard output and standard error.

Whatever is printed here passes ``healthd.printable``, so that no command can forget it.
``healthd.cli.tables`` does the same for tables and text with styles.
"""

import json
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

import orjson

from healthd.printable import escaped, printable

# A device's name has up to 248 bytes; this is enough of it to recognise the device in a message.
_NAME_CELLS = 60

# Of a line, some twenty lines on a terminal: an error may repeat what a device has sent.
LINE_CELLS = 4000

# The only control character of ASCII that JSON may hold as it is.
_DELETE = "\x7f"


def name(text: str) -> str:
    """Return a name from outside, short and printable, for use inside a message."""
    return printable(text, _NAME_CELLS)


def say(*lines: str) -> None:
    """Print lines; inside of them line breaks are replaced like all other control characters."""
    _write(sys.stdout, "".join(f"{printable(line, LINE_CELLS)}\n" for line in lines))


def complain(*lines: str) -> None:
    """Print lines on standard error, as ``say`` does."""
    _write(sys.stderr, "".join(f"{printable(line, LINE_CELLS)}\n" for line in lines))


def ask(question: str) -> None:
    """Print a question and leave the cursor after it."""
    _write(sys.stdout, printable(question))


def show_progress(text: str) -> None:
    """Replace the line of progress on a terminal; an empty text removes it."""
    if sys.stderr is not None and sys.stderr.isatty():
        _write(sys.stderr, f"\r\x1b[K{printable(text, LINE_CELLS)}")


def say_json(value: object) -> None:
    """Print a value as one line of JSON, in UTF-8."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        # Paths may contain bytes that are not UTF-8, which only the escapes of this one can write.
        text = json.dumps(value)
    say_data(text)


def say_data(*lines: str) -> None:
    """Print lines for programs, in UTF-8; what is not plain text is escaped as in JSON.

    JSON means the same afterwards, so it is done on a terminal and everywhere else.
    """
    data = "".join(f"{escaped(line)}\n" for line in lines)
    sys.stdout.flush()
    sys.stdout.buffer.write(data.encode())
    sys.stdout.buffer.flush()


def say_json_lines(lines: Sequence[str]) -> None:
    """Print lines of JSON that a serialiser made, many at a time; see ``say_data``.

    A serialiser has escaped all other control characters.
    """
    text = "\n".join(lines)
    if not text.isascii() or _DELETE in text:
        say_data(*lines)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(f"{text}\n".encode("ascii"))
    sys.stdout.buffer.flush()


def show_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print an error that no command expected; replaces ``sys.excepthook``."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    text = "".join(traceback.format_exception(kind, error, trace))
    complain(*text.rstrip("\n").split("\n"))


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # closed, such as by `2>&-`
        return
    stream.write(text)
    stream.flush()
