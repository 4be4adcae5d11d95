"""The memory of an Omron cuff, and how it answers: bytes in, bytes out, without a radio."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

_SIZE = 0x1000
_FIRST_YEAR, _LEAST_SYSTOLIC = 2000, 25
# Of a cursor: whether the ring has been filled, or not yet. Of a counter: no new records.
_FILLED, _NOT_FILLED, _NONE_NEW = 0x4000, 0x8000, 0x8000
_MOST_UNREAD = 0xFF


@dataclass(frozen=True, slots=True)
class Map:
    """Where a model keeps its records.

    Attributes:
        order: The order of bytes.
        index: The address of the cursors and the counters of unread records.
        users: The address of the records of each user.
        records: How many each user has.
        record_bytes: The size of a record.
        most_bytes: The most that it sends at once.
        is_modern: Whether it has the modern stack.
    """

    order: Literal["little", "big"]
    index: int
    users: tuple[int, ...]
    records: int
    record_bytes: int
    most_bytes: int
    is_modern: bool = False


MAPS = {
    "HEM-7155T": Map("little", 0x0010, (0x0098, 0x0458), 60, 16, 0x10),
    "HEM-7361T": Map("little", 0x0010, (0x0098, 0x06D8), 100, 16, 0x10),
    "HEM-7322T": Map("big", 0x0260, (0x02AC, 0x0824), 100, 14, 0x38),
    "HEM-7600T": Map("big", 0x0260, (0x02AC,), 100, 14, 0x2C),
    "HEM-7530T": Map("big", 0x0260, (0x02E8,), 90, 14, 0x10),
    "HEM-7142T2": Map("little", 0x0260, (0x02E8,), 14, 14, 0x2C, is_modern=True),
    "HEM-7380T1": Map("little", 0x0010, (0x01C4, 0x0804), 100, 16, 0x38, is_modern=True),
}
"""The memories of the models that are known, by model."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement, as the cuff shows it."""

    at: datetime
    systolic: int
    diastolic: int
    pulse: int
    moved: bool = False
    irregular: bool = False
    cuff_fits: bool = True


class Memory:
    """The memory of one cuff; each user has a ring of records."""

    def __init__(self, model: str) -> None:
        """Start without records.

        Args:
            model: One of ``MAPS``.
        """
        self.map = MAPS[model]
        self._bytes = bytearray(b"\xff" * _SIZE)
        self._stored = [0 for _ in self.map.users]
        self._unread = [0 for _ in self.map.users]
        self._update_index()

    def store(self, user: int, reading: Reading) -> None:
        """Store a measurement of user 1 or 2; the oldest one of a full ring is lost."""
        where, number = self.map, self._stored[user - 1]
        address = where.users[user - 1] + number % where.records * where.record_bytes
        record = _record(where, reading, number + 1)
        self._bytes[address : address + len(record)] = record
        self._stored[user - 1] += 1
        self._unread[user - 1] = min(self._unread[user - 1] + 1, _MOST_UNREAD)
        self._update_index()

    def read(self, address: int, size: int) -> bytes:
        """Return a part of the memory; a part of no memory is empty."""
        return bytes(self._bytes[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        """Write a part of the memory, as the maker's app does."""
        self._bytes[address : address + len(data)] = data

    def _update_index(self) -> None:
        where = self.map
        for user, (stored, unread) in enumerate(zip(self._stored, self._unread, strict=True)):
            state = _NOT_FILLED if stored < where.records else _FILLED
            cursor, count = state | stored % where.records, unread or _NONE_NEW
            for at, number in ((2 * user, cursor), (4 + 2 * user, count)):
                self.write(where.index + at, number.to_bytes(2, where.order))


def _record(where: Map, reading: Reading, number: int) -> bytes:
    at = reading.at
    date = at.month << 10 | at.day << 5 | at.hour
    date |= reading.irregular << 14 | reading.moved << 15
    rest = at.minute << 6 | at.second | reading.cuff_fits << 12
    front = (
        reading.systolic - _LEAST_SYSTOLIC,
        reading.diastolic,
        reading.pulse,
        at.year - _FIRST_YEAR,
    )
    if where.order == "big":
        front = (front[1], front[0], front[3], front[2])
    words = b"".join(word.to_bytes(2, where.order) for word in (date, rest, 0, number & 0xFFFF))
    return (bytes(front) + words).ljust(where.record_bytes, b"\0")


def checksum(data: bytes) -> int:
    """Return the XOR of all bytes."""
    total = 0
    for byte in data:
        total ^= byte
    return total


class Cuff:
    """Answers requests like a cuff, with its memory behind a key or a bond.

    Attributes:
        memory: Its memory.
        key: The key that opens it; None if none was agreed yet.
        is_pairing: Whether its button was held, so that it accepts a key.
        written: The addresses that were written.
        reads: The addresses and sizes that were read.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        key: bytes | None = None,
        is_pairing: bool = False,
        refusals: int = 0,
        damage: Callable[[int], bool] = lambda _number: False,
    ) -> None:
        """Start without a link.

        Args:
            memory: Its memory.
            key: The key that opens it.
            is_pairing: Whether it accepts a key.
            refusals: How often it refuses a key at first, while the bond is made.
            damage: Whether the answer with this number, counted from 0, has a wrong checksum.
        """
        self.memory = memory
        self.key = key
        self.is_pairing = is_pairing
        self.written: list[int] = []
        self.reads: list[tuple[int, int]] = []
        self._refusals = refusals
        self._damage = damage
        self._answers = 0
        self._is_open = self._in_session = self._takes_key = False

    def begin_link(self) -> None:
        """Forget what the last link has opened."""
        self._is_open = self._in_session = self._takes_key = False

    def unlock(self, request: bytes) -> bytes | None:
        """Answer a request to the unlock characteristic."""
        opcode, rest = request[0], request[1:]
        result = 0x0F
        if opcode == 0x11 and self.memory.map.is_modern:
            self._is_open = True
            return bytes([0x91, 0x00]) + rest[:4]
        if opcode == 0x02 and self.is_pairing:
            self._refusals, was_refused = max(self._refusals - 1, 0), bool(self._refusals)
            self._takes_key = not was_refused
            result = 0x0F if was_refused else 0x00
        elif opcode == 0x00 and self._takes_key and len(rest) == 16:
            self.key, self.is_pairing, result = rest, False, 0x00
        elif opcode == 0x01:
            # As a cuff answers that has the key of another app.
            self._is_open = self.key is not None and secrets.compare_digest(rest, self.key)
            result = 0x00 if self._is_open else 0x04
        return bytes([opcode | 0x80, result]) + bytes(15)

    def answer(self, frame: bytes) -> bytes | None:
        """Answer a frame; None if the cuff does not."""
        if len(frame) < 8 or len(frame) != frame[0] or checksum(frame) or not self._is_open:
            return None
        opcode = int.from_bytes(frame[1:3])
        if opcode == 0x0000:
            self._in_session = True
            return self._sealed(bytes([0x80, 0, 0, 0, 0x10]), bytes(16))
        if opcode == 0x0F00:
            self._in_session = False
            return self._sealed(bytes([0x8F, 0, 0, 0, 0]), b"")
        if not self._in_session:
            return self._sealed(bytes([0x8F, 0, 0, 0, 0]), b"\x01")
        address, size = int.from_bytes(frame[3:5]), frame[5]
        if opcode == 0x0100:
            self.reads.append((address, size))
            return self._sealed(bytes([0x81, 0]) + frame[3:6], self._data(address, size))
        if opcode == 0x01C0:
            self.written.append(address)
            self.memory.write(address, frame[6 : 6 + size])
            return self._sealed(bytes([0x81, 0xC0]) + frame[3:6], frame[6 : 6 + size])
        return None

    def _data(self, address: int, size: int) -> bytes:
        data = self.memory.read(address, size)
        # What was never written is not sent at all.
        return b"" if data == b"\xff" * size else data

    def _sealed(self, head: bytes, data: bytes) -> bytes:
        # An end with an error has the error in place of the padding.
        is_error = head[0] == 0x8F and data
        body = head + data + (b"" if is_error else b"\0")
        frame = bytes([len(body) + 2]) + body
        number, self._answers = self._answers, self._answers + 1
        return frame + bytes([checksum(frame) ^ (0x55 if self._damage(number) else 0)])
