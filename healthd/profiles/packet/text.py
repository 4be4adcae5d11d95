"""Texts by which a device describes itself, as facts that every consumer can show.

They come from any device in range, and go into topics, Home Assistant, logs and terminals.
"""

import unicodedata

MOST_CHARACTERS = 100
"""Longer texts are cut. Bluetooth allows 512 bytes; real makers, models and versions have 40."""

# Controls, formats (directions, zero-width characters), line breaks, surrogates, private use and
# unassigned characters: they change what is shown around them, or cannot be seen.
_NOT_SHOWN = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"})


def clean(text: str) -> str:
    """Return a text without what cannot be shown, cut to ``MOST_CHARACTERS``."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(letter for letter in text if unicodedata.category(letter) not in _NOT_SHOWN)
    return text[:MOST_CHARACTERS]
