"""Keeps damaged rows for a person, in files that cannot fill the disk."""

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from healthd.outbox.set_aside import files_set_aside, labelled

LABEL = "rows"

# Thousands of samples: more are damaged only if the disk is broken, and then these are enough to
# see how. Together 4 MB at most.
_FILE_BYTES = 1_000_000
_FILES = 4

# The longest line: a few samples of usual size. The rest of a larger one is left out.
_MOST_BYTES = 100_000


def keep_rows(path: Path, reason: str, rows: Iterable[Sequence[Any]]) -> str:
    """Append rows to the newest side file, or to a new one; the oldest files are deleted.

    Args:
        path: the database file.
        reason: why they are set aside.
        rows: their columns, from the row number to the payload.

    Returns:
        The name of the file.

    Raises:
        OSError: the disk refuses it.
    """
    files = [file for file in files_set_aside(path) if f".{LABEL}-" in file.name]
    content = b"".join(_line(reason, row) for row in rows)[:_FILE_BYTES]
    if not files or files[-1].stat().st_size + len(content) > _FILE_BYTES:
        files.append(labelled(path, LABEL))
    for old in files[:-_FILES]:
        old.unlink(missing_ok=True)
    descriptor = os.open(files[-1], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        os.fchmod(descriptor, 0o600)
        opened.write(content)
    return files[-1].name


def _line(reason: str, row: Sequence[Any]) -> bytes:
    """Return a row as a line of JSON; bytes are in hexadecimal digits."""
    values = [value.hex() if isinstance(value, bytes) else value for value in row]
    line = json.dumps({"reason": reason, "found_s": time.time(), "row": values}, default=repr)
    return line.encode()[:_MOST_BYTES] + b"\n"
