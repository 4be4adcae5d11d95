"""The pages of a damaged database, read without SQLite, which gives up at the first wrong byte.

Every row that is found has a checksum of its own, so the reader may try whatever looks like a page
of rows. Layout: https://www.sqlite.org/fileformat2.html
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from healthd.outbox.raw_log import PAGE_BYTES, read_log

# A row is a few hundred bytes, a frame of samples at most some ten thousand.
_MOST_BYTES = 1 << 20

_INTERIOR_TABLE, _LEAF_INDEX, _INTERIOR_INDEX = 0x05, 0x0A, 0x02
_INTERIOR = (_INTERIOR_TABLE, _INTERIOR_INDEX)
_INDEX = (_LEAF_INDEX, _INTERIOR_INDEX)

_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)


class Cell(NamedTuple):
    """A record in a page.

    Attributes:
        row: its row number; 0 in an index.
        values: its columns; text that is not UTF-8 has replacement characters.
    """

    row: int
    values: tuple[Any, ...]


class Unreadable(Exception):
    """The bytes are not what was expected."""


class RawPages:
    """A database file and its log, as they are; close it after use.

    Attributes:
        count: the number of pages.
    """

    def __init__(self, path: Path) -> None:
        """Open the files for reading.

        Raises:
            OSError: the database file cannot be opened.
        """
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._log: int | None = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._log = None
        # Where in the log the newest version of each page begins.
        self._in_log: dict[int, int] = {}
        try:
            self.count = self._find_pages()
        except OSError:
            self.close()
            raise

    def _find_pages(self) -> int:
        """Find what is in the log and what is unused; return the number of pages."""
        self._in_log, extra = ({}, []) if self._log is None else read_log(self._log)
        whole = os.fstat(self._file).st_size // PAGE_BYTES
        last = max((whole, *self._in_log))
        self._free = self._freelist(last)
        # What is in the log and damaged: it may be a page with rows, and belong anywhere.
        self._in_log |= dict(enumerate(extra, last + 1))
        return last + len(extra)

    def close(self) -> None:
        """Close the files."""
        os.close(self._file)
        if self._log is not None:
            os.close(self._log)

    def is_free(self, page: int) -> bool:
        """Return whether a page has only what was deleted."""
        return page // 8 < len(self._free) and bool(self._free[page // 8] & 1 << page % 8)

    def content(self, page: int) -> bytes:
        """Return the bytes of a page; fewer than a page if the file is too short.

        Raises:
            OSError: the disk does not give them.
        """
        if (at := self._in_log.get(page)) is not None and self._log is not None:
            return os.pread(self._log, PAGE_BYTES, at)
        return os.pread(self._file, PAGE_BYTES, (page - 1) * PAGE_BYTES)

    def cells(self, page: int) -> Iterator[Cell | None]:
        """Yield the records of a page; None for one that cannot be read.

        Raises:
            OSError: the disk does not give them.
        """
        content = self.content(page)
        if len(content) < PAGE_BYTES:
            return
        begin = 100 if page == 1 else 0
        kind = content[begin]
        if kind == _INTERIOR_TABLE:
            # A bit may have changed: what was a leaf shows by the checksums of its rows.
            kind = 0x0D
        header = 12 if kind in _INTERIOR else 8
        count = int.from_bytes(content[begin + 3 : begin + 5], "big")
        pointers = content[begin + header : begin + header + 2 * count]
        for (at,) in struct.iter_unpack(">H", pointers[: len(pointers) // 2 * 2]):
            try:
                yield self._cell(content, at + (4 if kind in _INTERIOR else 0), kind)
            except (Unreadable, IndexError, struct.error):
                yield None

    def _cell(self, content: bytes, at: int, kind: int) -> Cell:
        size, at = _varint(content, at)
        row = 0
        if kind not in _INDEX:
            row, at = _varint(content, at)
        if not 0 < size <= _MOST_BYTES:
            raise Unreadable
        most = PAGE_BYTES - 35 if kind not in _INDEX else (PAGE_BYTES - 12) * 64 // 255 - 23
        least = (PAGE_BYTES - 12) * 32 // 255 - 23
        local = size
        if size > most:
            local = least + (size - least) % (PAGE_BYTES - 4)
            local = local if local <= most else least
        payload = content[at : at + local]
        if len(payload) < local:
            raise Unreadable
        if local < size:
            (following,) = struct.unpack_from(">I", content, at + local)
            payload += self._overflow(following, size - local)
        return Cell(row if row < 1 << 63 else row - (1 << 64), tuple(_record(payload)))

    def _overflow(self, page: int, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            if not 0 < page <= self.count:
                raise Unreadable
            content = self.content(page)
            if len(content) < PAGE_BYTES:
                raise Unreadable
            page = int.from_bytes(content[:4], "big")
            found += content[4:]
        return bytes(found[:size])

    def _freelist(self, last: int) -> bytearray:
        """Return a bit for each unused page; none is set if the list of them is not whole."""
        free, empty = (bytearray(last // 8 + 1) for _ in range(2))
        trunk, expected = struct.unpack(">II", self.content(1)[32:40].ljust(8, b"\0"))
        found = 0
        while trunk:
            if trunk > last or found > last:
                return empty
            content = self.content(trunk).ljust(PAGE_BYTES, b"\0")
            following, count = struct.unpack_from(">II", content)
            if count > PAGE_BYTES // 4 - 2:
                return empty
            for page in (trunk, *struct.unpack_from(f">{count}I", content, 8)):
                if not 0 < page <= last or free[page // 8] & 1 << page % 8:
                    return empty
                free[page // 8] |= 1 << page % 8
            found, trunk = found + 1 + count, following
        return free if found == expected else empty


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(9):
        byte = content[at + place]
        if place == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    raise Unreadable


def _record(payload: bytes) -> Iterator[Any]:
    size, at = _varint(payload, 0)
    kinds: list[int] = []
    while at < size:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    at = size
    for kind in kinds:
        value, at = _value(payload, at, kind)
        yield value
    if at != len(payload):
        raise Unreadable


def _value(payload: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind >= 12:
        end = at + (kind - 12) // 2
        part = payload[at:end]
        return (part.decode(errors="replace") if kind % 2 else part), end
    if kind in (8, 9):
        return kind - 8, at
    if kind == 7:
        return struct.unpack_from(">d", payload, at)[0], at + 8
    if kind > 7:
        raise Unreadable
    end = at + _INTEGER_BYTES[kind]
    return (int.from_bytes(payload[at:end], "big", signed=True) if kind else None), end
