"""Input of ``healthd decode``: bytes in hex, one input a line, one answer each."""

import re
from collections.abc import Callable, Iterable

from healthd.errors import DecodeError

# Enough to recognise the input without repeating a megabyte of it.
_ECHO_CHARACTERS = 40

_BYTES = re.compile(r"[0-9a-f]{2}(?:[ :-]?[0-9a-f]{2})*", re.IGNORECASE)
_NO_BYTES = "-"


class BadInput(Exception):
    """An input that has not the form that is expected; the message says what is."""


def answer_each(
    inputs: Iterable[str],
    answer: Callable[[list[str]], tuple[dict[str, object], bool]],
    expected: str,
    say: Callable[[object], None],
) -> int:
    """Answer each input at once, also a blank or wrong one, so that answers can be counted.

    Args:
        inputs: lines of text.
        answer: makes the answer from the words of a line, of which there is at least one, and says
            whether all of it could be decoded. Raises BadInput or DecodeError.
        expected: the form of a line, for the message about a blank one.
        say: prints an answer.

    Returns:
        The exit code: 0, or 1 if any input could not be decoded.
    """
    failed = False
    for line in inputs:
        try:
            if not (words := line.split()):
                raise BadInput(f"found a blank line, expected {expected}")
            found, complete = answer(words)
        except (BadInput, DecodeError) as error:
            found, complete = {"error": str(error)}, False
        failed |= not complete
        say(found)
    return int(failed)


def parse_hex(words: Iterable[str], after: str) -> bytes:
    """Return the bytes of HEX: pairs of digits, optionally with 0x or with space, colon or dash.

    Args:
        words: the rest of a line. They are joined, so any run of white space counts as one space.
        after: what precedes HEX, for the message if there is none.

    Raises:
        BadInput: it is something else.
    """
    text = " ".join(words)
    if text == _NO_BYTES:
        return b""
    start = 2 if text[:2].lower() == "0x" else 0
    if start == len(text):
        raise BadInput(f"found nothing after {after}, expected HEX ({_NO_BYTES} for no bytes)")
    found = _BYTES.match(text, start)
    end = found.end() if found else start
    if end < len(text):
        raise BadInput(
            f"HEX, character {end + 1}: found {echo(text[end:])}, expected two hex digits per byte"
        )
    return bytes.fromhex(re.sub("[ :-]", "", text[start:]))


def echo(text: str) -> str:
    """Return a part of the input for a message."""
    # repr escapes characters that JSON cannot represent, such as a lone surrogate.
    return repr(text[:_ECHO_CHARACTERS])
