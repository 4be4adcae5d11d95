"""SQLite's write-ahead log, read without SQLite, which ends at the first damaged page.

Layout: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PAGE_BYTES = 4096

_LOG_HEADER, _FRAME_HEADER = 32, 24
_FRAME_BYTES = _FRAME_HEADER + PAGE_BYTES

# The header of the index in shared memory; a copy follows it.
_INDEX_BYTES = 48

# No database has more pages: 64 GB.
_MOST_PAGES = 1 << 24


class _Frame(NamedTuple):
    """The header of a page in the log."""

    page: int
    commits: int
    salts: tuple[int, int]
    sums: tuple[int, int]


def read_log(log: int) -> tuple[dict[int, int], list[int]]:
    """Return where the pages of all committed transactions are; ``log`` is an open file.

    Returns:
        Where in the log the newest version of each page begins; and where a damaged frame begins,
        whose page number may be wrong.
    """
    newest, waiting = dict[int, int](), dict[int, int]()
    extra, waiting_extra = list[int](), list[int]()
    for number, frame, whole in _frames(log):
        at = _at(number) + _FRAME_HEADER
        if whole:
            waiting[frame.page] = at
        else:
            waiting_extra.append(at)
        if frame.commits:
            newest |= waiting
            extra += waiting_extra
            waiting.clear()
            waiting_extra.clear()
    return newest, extra


def has_lost_commits(path: Path) -> bool:
    """Return whether the log of a database has transactions that SQLite will not use.

    SQLite ends at the first damaged page, and does not say so. It has at most a few hundred pages.

    Args:
        path: the database file, which is not open.
    """
    used, salts = _index(Path(f"{path}-shm"))
    try:
        log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return used > 0 and path.exists() and path.stat().st_size > 0
    try:
        if used > _count(log) and os.pread(log, 8, 16) in (salts, b""):
            return True
        damaged = not _is_header_whole(log)
        for _, frame, whole in _frames(log):
            damaged = damaged or not whole
            if damaged and frame.commits:
                return True
        return False
    finally:
        os.close(log)


def is_cut_off(path: Path) -> bool:
    """Return whether a database has less than a page, although it was more than created.

    Args:
        path: the database file, which may be missing.
    """
    if not path.exists():
        return False
    log = Path(f"{path}-wal")
    size = path.stat().st_size
    return 0 < size < PAGE_BYTES or (not size and log.exists() and log.stat().st_size > 0)


def _frames(log: int) -> Iterator[tuple[int, _Frame, bool]]:
    """Yield the frames that were written since the log was reset, and whether each is whole."""
    salts = _generation(log)
    big = os.pread(log, 4, 0)[3:] == b"\x83"
    # The first frame continues the sum of the header.
    before = _sums(log, 24)
    for number in range(_count(log)):
        frame = _frame(log, number)
        if not _is_of(frame, salts):
            continue
        content = os.pread(log, 8, _at(number))
        content += os.pread(log, PAGE_BYTES, _at(number) + _FRAME_HEADER)
        whole = _summed(content, before, big=big) == frame.sums and frame.salts == salts
        yield number, frame, whole and 0 < frame.page < _MOST_PAGES
        before = frame.sums


def _index(path: Path) -> tuple[int, bytes]:
    """Return how many frames the log had, and their salts, by the index of a killed process.

    SQLite writes the index after the log, so it never counts frames that were not there.
    """
    try:
        with path.open("rb") as opened:
            first, second = opened.read(_INDEX_BYTES), opened.read(_INDEX_BYTES)
    except OSError:
        return 0, b""
    if first != second or len(first) < _INDEX_BYTES:
        return 0, b""
    return int.from_bytes(first[16:20], sys.byteorder), first[32:40]


def _is_header_whole(log: int) -> bool:
    header = os.pread(log, _LOG_HEADER, 0)
    summed = _summed(header[:24], (0, 0), big=header[3:4] == b"\x83")
    known = header[:4] in (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
    return known and summed == _sums(log, 24)


def _generation(log: int) -> tuple[int, int]:
    """Return the two numbers that all frames have which were written since the log was reset."""
    header: tuple[int, int] = struct.unpack(">II", os.pread(log, 8, 16).ljust(8, b"\0"))
    frames = [_frame(log, number).salts for number in range(3)]
    # The header itself may be damaged: a frame outvotes it.
    return header if header in frames else frames[0]


def _count(log: int) -> int:
    return max((os.fstat(log).st_size - _LOG_HEADER) // _FRAME_BYTES, 0)


def _at(number: int) -> int:
    return _LOG_HEADER + number * _FRAME_BYTES


def _frame(log: int, number: int) -> _Frame:
    content = os.pread(log, _FRAME_HEADER, _at(number)).ljust(_FRAME_HEADER, b"\0")
    page, commits, *rest = struct.unpack(">6I", content)
    return _Frame(page, commits, (rest[0], rest[1]), (rest[2], rest[3]))


def _is_of(frame: _Frame, salts: tuple[int, int]) -> bool:
    # Either number is enough: one of them may be damaged, and no other frames have them.
    return any(salts) and (frame.salts[0] == salts[0] or frame.salts[1] == salts[1])


def _sums(log: int, at: int) -> tuple[int, int]:
    sums: tuple[int, int] = struct.unpack(">II", os.pread(log, 8, at).ljust(8, b"\0"))
    return sums


def _summed(content: bytes, before: tuple[int, int], *, big: bool) -> tuple[int, int]:
    """Return SQLite's checksum of a frame, which continues that of the frame before it."""
    first, second = before
    words = struct.iter_unpack(">II" if big else "<II", content[: len(content) // 8 * 8])
    for one, two in words:
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second
