"""Makes tests from captures, with values that a second source has to confirm."""

import re
from collections.abc import Iterator
from pathlib import Path

from healthd.capture.conversion import learned
from healthd.capture.reading import read
from healthd.traffic.lines import Line, Start

TO_BE_CONFIRMED = "to be confirmed by a second source"
"""The beginning of ``source`` in a test whose values are healthd's own. Tests refuse it."""

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LONGEST_NAME = 60


class NothingToTest(ValueError):
    """No test can be made; the text says why and what was expected."""


def checked_name(name: str) -> str:
    """Return the name of a test.

    Raises:
        NothingToTest: it is not good as the name of a folder.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise NothingToTest(
            "the name of the test is not usable, expected small letters, digits and dashes, "
            "such as an-odd-scale"
        )
    return name


def lines_for_test(file: Path) -> Iterator[Line]:
    """Yield the lines of a capture, without the identity of its devices.

    Raises:
        BadCapture: the file is damaged.
        OSError: it cannot be read.
    """
    lines = read(file)
    start = next(lines)
    if isinstance(start, Start) and start.identity == "replaced":
        yield start
        yield from lines
    else:
        yield from map(learned(file, keep_identity=False).line, read(file))
