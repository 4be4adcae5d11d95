"""Writes a file of radio traffic in another format, without identity and secrets."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from healthd.capture.reading import read
from healthd.capture.writing.files import write as write_packets
from healthd.capture.writing.unsaid import Count
from healthd.traffic.codec import BadCapture, encode
from healthd.traffic.lines import Line
from healthd.traffic.masking import Masker


class Converted(NamedTuple):
    """What was written.

    Attributes:
        lines: how many lines of a capture the file was made from.
        unsaid: what the format cannot say.
        problem: why the rest of the source could not be read; empty: all of it was.
    """

    lines: int
    unsaid: list[Count]
    problem: str


class ReadableLines:
    """The lines of a file up to where it is damaged.

    Attributes:
        count: how many were read so far.
        problem: what is wrong with the rest; empty: nothing so far.
    """

    def __init__(self, file: Path) -> None:
        """Prepare to read a file from its beginning."""
        self._file = file
        self.count = 0
        self.problem = ""

    def __iter__(self) -> Iterator[Line]:
        """Yield the lines.

        Raises:
            BadCapture: there is not one.
            OSError: the file cannot be opened or read.
        """
        try:
            for line in read(self._file):
                self.count += 1
                yield line
        except BadCapture as error:
            # A start alone is what a reader says of any file of this kind.
            if self.count <= 1:
                raise
            self.problem = str(error)


def learned(file: Path, *, keep_identity: bool) -> Masker:
    """Return a masker that knows all names, addresses and serial numbers of a file.

    So it can replace them in lines that come before those that say whose they are.

    Raises:
        BadCapture: no line of it can be read.
        OSError: the file cannot be opened or read.
    """
    masker = Masker(keep_identity=keep_identity)
    for line in ReadableLines(file):
        masker.learn(line)
    return masker


def convert(file: Path, out: Path, *, keep_identity: bool) -> Converted:
    """Write a file in the format that the end of the new name says.

    Args:
        file: any file that ``healthd.capture.reading.read`` reads.
        out: the new file; it must not exist.
        keep_identity: whether addresses, names and serial numbers stay as they are.

    Raises:
        BadCapture: the file is not a capture.
        ValueError: the end of the name is unknown.
        OSError: a file cannot be read or written.
    """
    write = _writer(out)
    masker = learned(file, keep_identity=keep_identity)
    source = ReadableLines(file)
    with create(out) as opened:
        unsaid = write(map(masker.line, source), opened)
    return Converted(source.count, unsaid, source.problem)


def create(out: Path) -> BinaryIO:
    """Create a file for its owner only: it says something about people's health.

    Raises:
        OSError: it exists, or cannot be created.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(out, flags, 0o600), "wb")


def write_lines(lines: Iterable[Line], out: BinaryIO) -> list[Count]:
    """Write lines as JSON Lines, which can say everything."""
    for line in lines:
        out.write(encode(line) + b"\n")
    return []


_Writer = Callable[[Iterable[Line], BinaryIO], list[Count]]


def _writer(out: Path) -> _Writer:
    suffix = out.suffix.lower()
    if suffix == ".jsonl":
        return write_lines
    if suffix == ".pcap":
        return lambda lines, opened: write_packets(lines, opened, "pcap")
    # What Android calls its logs, and Ellisys and others theirs.
    if suffix in (".btsnoop", ".log", ".cfa"):
        return lambda lines, opened: write_packets(lines, opened, "btsnoop")
    raise ValueError(f"{out}: expected a name that ends with .jsonl, .btsnoop, .log, .cfa or .pcap")
