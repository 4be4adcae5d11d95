"""The captures of ``[capture]`` on disk: a bounded size, in files of one peripheral each.

A file is a capture of its own: it begins with the start, and with the link if there is one. A new
one begins at each start of healthd, and when the last one is large enough. The oldest file is
removed if there is no more room. Nothing waits for the disk: lines are collected and written by a
thread every few seconds. They are not flushed to the disk, so a power cut may lose some of them.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# In bytes: half a minute of the busiest sensor.
_LARGEST_BUFFER = 512_000

# Parts of a peripheral's share. One is removed at a time, so as much of the share stays in use.
_PARTS = 4

# Even if the services of a device, with which each file begins, take as much as a part.
_LEAST_LINES = 100

_NAME = re.compile(r"(?P<number>\d{9})-(?P<peripheral>[a-z0-9_-]+)\.jsonl")


class Part(NamedTuple):
    """A file of the ring.

    Attributes:
        number: counts the files of all peripherals, in the order in which they began.
        peripheral: whose capture it is.
        file: its path.
    """

    number: int
    peripheral: str
    file: Path


def parts(folder: Path) -> list[Part]:
    """Return the files of a ring, the oldest first; none if there is no such folder.

    Raises:
        OSError: the folder cannot be read.
    """
    found = list[Part]()
    try:
        files = list(folder.iterdir())
    except FileNotFoundError:
        return []
    for file in files:
        if name := _NAME.fullmatch(file.name):
            found.append(Part(int(name["number"]), name["peripheral"], file))
    return sorted(found)


class RingFolder:
    """Writes the files; used in one thread at a time."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Use this folder, for at most as many bytes."""
        self._folder = folder
        self._most = most_bytes
        self._last = 0
        # By peripheral, the file that its next lines go to.
        self._current: dict[str, Path] = {}

    def open(self) -> None:
        """Create the folder, and see what it has.

        Raises:
            OSError: it cannot be created or read.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._last = max((part.number for part in parts(self._folder)), default=0)

    def append(self, peripheral: str, number: int, data: bytes) -> None:
        """Append to a file; make room for it first.

        Args:
            peripheral: whose file it is.
            number: of its files in this run, from 1.
            data: whole lines.

        Raises:
            OSError: it cannot be written.
        """
        file = self._folder / f"{self._last + number:09d}-{peripheral}.jsonl"
        self._current[peripheral] = file
        self._make_room(len(data))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(file, flags, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, data) != len(data):
                os.ftruncate(descriptor, before)
                raise OSError("the disk is full")
        finally:
            os.close(descriptor)

    def _make_room(self, size: int) -> None:
        found = parts(self._folder)
        used = sum(part.file.stat().st_size for part in found) + size
        for part in found:
            if used <= self._most:
                return
            if part.file not in self._current.values():
                used -= part.file.stat().st_size
                part.file.unlink()


class RingSink:
    """Collects the lines of one peripheral until they are written.

    Attributes:
        wants_start: see ``Sink``.
    """

    def __init__(self, peripheral: str, share_bytes: int, numbers: "Numbers") -> None:
        """Prepare.

        Args:
            peripheral: its id.
            share_bytes: how much the peripheral may have on disk.
            numbers: of all files of this run.
        """
        self.wants_start = False
        self._peripheral = peripheral
        self._part_bytes = share_bytes // _PARTS
        self._numbers = numbers
        self._number = 0
        self._in_part = self._lines_in_part = self._collected = 0
        self._lines: list[tuple[int, bytes]] = []

    def begin(self) -> None:
        """See ``Sink``."""
        self._number = self._numbers.next()
        self._in_part = self._lines_in_part = 0
        self.wants_start = False

    def put(self, line: bytes) -> bool:
        """See ``Sink``."""
        if self._collected + len(line) > _LARGEST_BUFFER:
            # A file without its start could not be read.
            self.wants_start = self.wants_start or not self._lines_in_part
            return False
        self._lines.append((self._number, line))
        self._collected += len(line)
        self._in_part += len(line)
        self._lines_in_part += 1
        is_full = self._in_part >= self._part_bytes
        self.wants_start = is_full and self._lines_in_part >= _LEAST_LINES
        return True

    def collected(self) -> list[tuple[int, bytes]]:
        """Return the lines that wait, each with the number of its file, and forget them."""
        lines, self._lines, self._collected = self._lines, [], 0
        return lines

    def write(self, folder: RingFolder, lines: Iterable[tuple[int, bytes]]) -> None:
        """Append lines to their files; called in a thread.

        Raises:
            OSError: they cannot be written.
        """
        by_file: dict[int, list[bytes]] = {}
        for number, line in lines:
            by_file.setdefault(number, []).append(line)
        for number, texts in by_file.items():
            folder.append(self._peripheral, number, b"".join(texts))


class Numbers:
    """Counts the files of this run."""

    def __init__(self) -> None:
        """Start before 1."""
        self._last = 0

    def next(self) -> int:
        """Return the next number."""
        self._last += 1
        return self._last
