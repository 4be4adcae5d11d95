"""Text from outside, made safe for a terminal: the only function for it.

Devices, brokers and files contain any characters. Some of them move the cursor, retitle the window,
reverse the direction of the text, or cannot be seen, so that the screen says something else than
what is there. Names in any language, and emoji, stay as they are.
"""

import unicodedata
from collections.abc import Callable, Iterator

# Cc: controls, with escape. Cf: directions, zero-width characters, tags. Zl, Zp: line breaks.
# Cs, Co, Cn: surrogates, private use, unassigned: a terminal shows anything or nothing for them.
_UNSAFE = {"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"}

# Letters and marks that are not drawn: fillers of Hangul, Khmer's inherent vowels, the blank of
# Braille, variation selectors (they also change the width) and others with Unicode's property
# Default_Ignorable_Code_Point. First and last of each range.
_INVISIBLE = (
    *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800)),
    *((0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0000, 0xE0FFF)),
)

# Hebrew and Vietnamese need up to three on a letter. Many of them grow over the lines around.
_MOST_MARKS = 3

# Vowels and final consonants of Hangul that join the letter before, as marks do.
_JOINING = ((0x1161, 0x11FF), (0xD7B0, 0xD7FF))

# Unicode makes symbols from here on wide now and then, and terminals follow at different times.
_FIRST_WIDE_SYMBOL = 0x2000

_ELLIPSIS = "…"


def printable(text: str, width: int | None = None) -> str:
    """Return the text in one line, with "?" in place of everything that is not plain text.

    Args:
        text: any text.
        width: cut it to this many cells of a terminal, with "…" at its end; None: not cut.
    """
    if text.isascii() and text.isprintable() and (width is None or len(text) <= width):
        return text
    safe = _replaced(text, lambda _: "?")
    return "".join(safe) if width is None else _cut(safe, width)


def escaped(text: str) -> str:
    """Return the text in one line, with JSON's escapes where ``printable`` has "?".

    JSON has the same meaning afterwards, because inside its strings these escapes are read as the
    characters themselves, and outside of them there are none.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_replaced(text, _utf16))


def toml_escaped(text: str) -> str:
    """Return the text as it is written between quotes in TOML, with all escapes it needs.

    Raises:
        ValueError: it contains a surrogate, which TOML cannot represent.
    """
    text.encode()
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(_replaced(quoted, lambda character: f"\\U{ord(character):08x}"))


def width_of(text: str) -> int:
    """Return how many cells of a terminal a printable text takes; too many rather than too few."""
    return sum(map(_width, text))


def _utf16(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _replaced(text: str, replace: Callable[[str], str]) -> Iterator[str]:
    """Yield each character with its marks, or what replaces it."""
    marks = _MOST_MARKS  # none at the beginning: it would change what is printed before
    for character in text:
        category = unicodedata.category(character)
        if category in _UNSAFE or _is_in(_INVISIBLE, character):
            marks = _MOST_MARKS
            yield replace(character)
        elif category[0] == "M" or _is_in(_JOINING, character):
            marks += 1
            yield character if marks <= _MOST_MARKS else replace(character)
        else:
            # Spaces of other widths look like the usual one.
            marks = _MOST_MARKS if category == "Zs" else 0
            yield character


def _is_in(ranges: tuple[tuple[int, int], ...], character: str) -> bool:
    code = ord(character)
    return code > 0x7F and any(first <= code <= last for first, last in ranges)


def _cut(characters: Iterator[str], width: int) -> str:
    """Join characters up to a width; stop there, because the text may be very long."""
    kept: list[str] = []
    used = fits = 0
    for character in characters:
        used += _width(character)
        if used > width:
            return "".join(kept[:fits]) + _ELLIPSIS * (width > 0)
        kept.append(character)
        if used < width:
            fits = len(kept)
    return "".join(kept)


def _width(character: str) -> int:
    """Return the cells of a character; too many rather than too few."""
    category = unicodedata.category(character)
    if category in ("Mn", "Me"):
        return 0
    if category in ("So", "No") and ord(character) >= _FIRST_WIDE_SYMBOL:
        return 2
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
