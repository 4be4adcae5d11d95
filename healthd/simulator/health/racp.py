"""The Record Access Control Point (0x2A52): report and count stored records."""

import asyncio
import struct
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from bumble.att import ATT_Error

from healthd.simulator.attributes import writeable
from healthd.simulator.feed import CCCD_IMPROPERLY_CONFIGURED, Feed

_PROCEDURE_IN_PROGRESS = 0xFE
# One record per connection event of a typical link.
_RECORD_S = 0.015

_REPORT, _DELETE, _ABORT, _COUNT, _COUNTED, _RESPONSE = range(1, 7)
_NULL, _ALL, _AT_MOST, _AT_LEAST, _WITHIN, _FIRST, _LAST = range(7)


class Code(IntEnum):
    """The result of a procedure."""

    SUCCESS = 1
    NOT_SUPPORTED = 2
    INVALID_OPERATOR = 3
    OPERATOR_NOT_SUPPORTED = 4
    INVALID_OPERAND = 5
    NO_RECORDS = 6
    ABORT_FAILED = 7
    OPERAND_NOT_SUPPORTED = 9


@dataclass(frozen=True, slots=True)
class Record:
    """A stored record.

    Attributes:
        key: The number by which records are selected: a sequence number or a time offset.
        payloads: Its payloads in order, each with the feed that sends it.
    """

    key: int
    payloads: tuple[tuple[Feed, bytes], ...]


class _RefusedError(Exception):
    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


class RecordAccess:
    """Access to stored records; requests to delete records are refused.

    Attributes:
        characteristic: The characteristic 0x2A52.
    """

    def __init__(
        self,
        stored: Callable[[], Sequence[Record]],
        needed: Sequence[Feed],
        *,
        filter_type: int | None = 1,
    ) -> None:
        """Create the control point.

        Args:
            stored: Returns the records, oldest first.
            needed: The feeds that must have a subscription before records can be reported.
            filter_type: The filter type of the records' keys; None if records cannot be filtered.
        """
        self._stored = stored
        self._needed = needed
        self._filter_type = filter_type
        self._requests: asyncio.Queue[bytes] = asyncio.Queue()
        self._is_open = self._is_busy = self._is_aborted = False
        self.characteristic = writeable(0x2A52, self._write, indicates=True)

    async def answers(self) -> AsyncGenerator[bytes, None]:
        """Generate the responses, each after the records it refers to; for ``Part.payloads``."""
        self._is_open, self._is_busy, self._is_aborted = True, False, False
        try:
            while True:
                request = await self._requests.get()
                answer = await self._answer(request)
                self._is_busy = self._is_aborted = False
                yield answer
        finally:
            self._is_open = False
            while not self._requests.empty():
                self._requests.get_nowait()

    def _write(self, request: bytes) -> None:
        if not self._is_open:
            raise ATT_Error(CCCD_IMPROPERLY_CONFIGURED)
        opcode = request[0] if request else 0
        if self._is_busy and opcode != _ABORT:
            raise ATT_Error(_PROCEDURE_IN_PROGRESS)
        if opcode == _REPORT and not all(feed.is_open for feed in self._needed):
            raise ATT_Error(CCCD_IMPROPERLY_CONFIGURED)
        if self._is_busy:
            self._is_aborted = True
        else:
            self._is_busy = True
            self._requests.put_nowait(request)

    async def _answer(self, request: bytes) -> bytes:
        opcode = request[0] if request else 0
        if opcode == _ABORT:
            return _response(opcode, Code.ABORT_FAILED)
        if opcode not in (_REPORT, _COUNT):
            return _response(opcode, Code.NOT_SUPPORTED)
        try:
            selected = self._select(request[1:])
        except _RefusedError as refused:
            return _response(opcode, refused.code)
        if opcode == _COUNT:
            return struct.pack("<BBH", _COUNTED, _NULL, len(selected))
        if not selected:
            return _response(opcode, Code.NO_RECORDS)
        for record in selected:
            await asyncio.sleep(_RECORD_S)
            if self._is_aborted:
                return _response(_ABORT, Code.SUCCESS)
            for feed, payload in record.payloads:
                feed.put(payload)
                await feed.drain()
        return _response(opcode, Code.SUCCESS)

    def _select(self, criteria: bytes) -> Sequence[Record]:
        stored = self._stored()
        operator, operand = (criteria[0], criteria[1:]) if criteria else (_NULL, b"")
        if operator == _NULL:
            raise _RefusedError(Code.INVALID_OPERATOR)
        if operator > _LAST:
            raise _RefusedError(Code.OPERATOR_NOT_SUPPORTED)
        if operator in (_ALL, _FIRST, _LAST):
            if operand:
                raise _RefusedError(Code.INVALID_OPERAND)
            return {_ALL: stored, _FIRST: stored[:1], _LAST: stored[-1:]}[operator]
        least, most = self._bounds(operator, operand)
        return [record for record in stored if least <= record.key <= most]

    def _bounds(self, operator: int, operand: bytes) -> tuple[int, int]:
        if self._filter_type is None:
            raise _RefusedError(Code.OPERATOR_NOT_SUPPORTED)
        if operand[:1] != bytes([self._filter_type]):
            raise _RefusedError(Code.OPERAND_NOT_SUPPORTED)
        if len(operand) != (5 if operator == _WITHIN else 3):
            raise _RefusedError(Code.INVALID_OPERAND)
        values = [value for (value,) in struct.iter_unpack("<H", operand[1:])]
        if operator == _WITHIN and values[0] > values[1]:
            raise _RefusedError(Code.INVALID_OPERAND)
        least = 0 if operator == _AT_MOST else values[0]
        most = 0xFFFF if operator == _AT_LEAST else values[-1]
        return least, most


def _response(opcode: int, code: Code) -> bytes:
    return bytes([_RESPONSE, _NULL, opcode, code])
