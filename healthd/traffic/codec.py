"""Lines of a capture as JSON Lines, in both directions."""

from collections.abc import Iterable, Iterator
from functools import cache

from pydantic import TypeAdapter, ValidationError

from healthd.traffic.lines import AnyLine, Line, Start


class BadCapture(ValueError):
    """A file is not a capture, or is damaged.

    Attributes:
        place: where, such as ``line 12`` or ``packet 345 at byte 8192``.
        problem: what was found and what was expected.
    """

    def __init__(self, place: str, problem: str) -> None:
        """Describe the problem."""
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


# A line holds at most all services of a device, which are some ten kilobytes.
LONGEST_LINE = 1_000_000


@cache
def _adapter() -> TypeAdapter[Line]:
    return TypeAdapter[Line](AnyLine)


def encode(line: Line) -> bytes:
    """Return one line of JSON without a line break. What has its default value is left out."""
    # ``what`` has a default too, but says which line it is.
    fields = line.model_dump_json(exclude_defaults=True, by_alias=True)
    return f'{{"what":"{line.what}",{fields[1:]}'.encode()


def decode(text: bytes, number: int) -> Line:
    """Return a line of the file.

    Args:
        text: the line; a line break at its end is allowed.
        number: its number in the file, for the error.

    Raises:
        BadCapture: it is not a line of a capture.
    """
    if len(text) > LONGEST_LINE:
        raise BadCapture(f"line {number}", f"longer than {LONGEST_LINE} bytes")
    try:
        return _adapter().validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadCapture(f"line {number}", f"{where}: {first['msg']}".lstrip(": ")) from error


def lines(texts: Iterable[bytes]) -> Iterator[Line]:
    """Return the lines of a file, of which the first one is a ``Start``.

    Raises:
        BadCapture: at the line that is damaged, while the result is iterated.
    """
    number = 0
    for number, text in enumerate(texts, start=1):
        line = decode(text, number)
        if isinstance(line, Start) != (number == 1):
            expected = "the start of a capture" if number == 1 else "a line other than a start"
            raise BadCapture(f"line {number}", f"found {line.what}, expected {expected}")
        yield line
    if number == 0:
        raise BadCapture("line 1", "the file is empty")
