"""Reads any file of radio traffic: captures of healthd, logs of phones and of other programs."""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from healthd.capture.air.follower import AirFollower
from healthd.capture.att.dialogue import Event, Times
from healthd.capture.files.open import Log, open_log
from healthd.capture.files.packet import AIR, Packet
from healthd.capture.hci.follower import Follower
from healthd.capture.peer import Peers
from healthd.capture.skim import skim
from healthd.capture.value import Value, moment
from healthd.traffic.codec import LONGEST_LINE, lines
from healthd.traffic.lines import FORMAT, Line, Missing, Start, at

# The last day of the year 9999: no line can have a later time.
_LATEST = 253_402_214_400_000_000

# The first ones show what is wrong. A link whose encryption was not noticed has thousands.
_MOST_UNREADABLE = 20

# How many bytes of a capture in JSON are read between two reports of progress.
_PROGRESS_BYTES = 1 << 18

_UNREADABLE = (IndexError, ValueError, struct.error)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a file.

    Attributes:
        uuids: canonical UUIDs of characteristics by the handles of their values, for a log that
            began after the services were discovered.
    """

    uuids: Mapping[int, str] = field(default_factory=dict[int, str])


def read(path: Path, options: ReadOptions = ReadOptions()) -> Iterator[Line]:
    """Return the lines of a file; see ``events``."""
    for event in events(path, options):
        yield event.line() if isinstance(event, Value) else event


def events(
    path: Path,
    options: ReadOptions = ReadOptions(),
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Event]:
    """Return what a file says, in the order of the file. The first line is a ``Start``.

    A packet that cannot be read becomes a ``Missing`` line, which names it.

    Args:
        path: the file.
        options: how to read it.
        on_progress: called with the number of bytes that were read, now and then.

    Raises:
        BadCapture: the file is damaged or is something else; all before that is returned.
        OSError: it cannot be opened or read.
    """
    with path.open("rb") as file:
        log = open_log(file, on_progress)
        yield from _own(file, on_progress) if log is None else _followed(log, options)


def _own(file: BinaryIO, on_progress: Callable[[int], None] | None) -> Iterator[Line]:
    yield from lines(_texts(file, on_progress))


def _texts(file: BinaryIO, on_progress: Callable[[int], None] | None) -> Iterator[bytes]:
    reported = read = 0
    # A longer line is an error; it is not read as a whole.
    while text := file.readline(LONGEST_LINE + 1):
        read += len(text)
        yield text
        if on_progress is not None and read - reported >= _PROGRESS_BYTES:
            reported = read
            on_progress(read)


def _followed(log: Log, options: ReadOptions) -> Iterator[Event]:
    first = next(log.packets, None)
    start = 0 if first is None else _possible(first.micros)
    yield Start(**at(0, moment(start)), format=FORMAT, source=log.format, identity="kept")
    if first is None:
        return

    def missing(packet: Packet, reason: str, count: int | None = None) -> Missing:
        times = Times(_possible(packet.micros), start)
        return Missing(**times.fields(), reason=f"{packet.place}: {reason}", count=count)

    unreadable, last = 0, first
    peers, records = Peers(options.uuids), log.records
    follower, air = Follower(peers, start, missing), AirFollower(peers, start, missing)
    for packet in chain([first], log.packets):
        if packet.dropped:
            yield missing(packet, "the logging program lost packets before it", packet.dropped)
        possible = packet._replace(micros=_possible(packet.micros))
        try:
            yield from (air if packet.kind in AIR else follower).take(possible)
        except _UNREADABLE as error:
            unreadable += 1
            if unreadable <= _MOST_UNREADABLE:
                yield missing(packet, f"it cannot be read: {str(error) or 'it is too short'}")
            last = packet
        if records is not None:
            yield from skim(records, follower.streams)
    if (more := unreadable - _MOST_UNREADABLE) > 0:
        yield missing(last, f"the last of {more} more packets that cannot be read", more)


def _possible(micros: int) -> int:
    return min(max(micros, 0), _LATEST)
