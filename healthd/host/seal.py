"""A checksum at the end of a small JSON file, which every JSON reader takes for blank space.

A flipped bit in a digit leaves valid JSON with a wrong value: only a checksum shows it. As blanks
it changes the format for no reader, not even for an older version of healthd.
"""

import re
import zlib
from pathlib import Path

# A hundred times what healthd writes: a larger file is not one that it has written.
MOST_BYTES = 4_000_000

_SEAL = re.compile(rb"\n([ \t]{32})\Z")


class Unsealed(ValueError):
    """The content is not what was written."""


def seal(content: bytes) -> bytes:
    """Return the content of a file with its checksum: 32 blanks, a tab for each bit that is set."""
    bits = f"{zlib.crc32(content):032b}"
    return content + b"\n" + bits.replace("0", " ").replace("1", "\t").encode()


def read_sealed(file: Path) -> bytes:
    """Return the content of a file, without the checksum; one without a checksum is taken as it is.

    Raises:
        OSError: the file cannot be read, or there is none.
        Unsealed: it is damaged, or larger than any file of healthd.
    """
    with file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Unsealed(f"larger than {MOST_BYTES} bytes")
    if (found := _SEAL.search(content)) is None:
        # Written by an older version.
        return content
    content = content[: found.start()]
    if seal(content)[-32:] != found[1]:
        raise Unsealed("the checksum is wrong")
    return content
