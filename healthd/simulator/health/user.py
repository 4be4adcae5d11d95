"""The registered users of a scale: the User Data service (GATT 0x181C)."""

import asyncio
import random
import struct
from collections.abc import Iterable

from healthd.simulator.attributes import notifying, readable, service
from healthd.simulator.feed import ControlPoint, Feed
from healthd.simulator.part import Part

_REGISTER, _CONSENT, _LIST, _RESPONSE = 0x01, 0x02, 0x04, 0x20
_SUCCESS, _NOT_SUPPORTED, _INVALID_PARAMETER, _NOT_AUTHORISED = 1, 2, 3, 5
_UNKNOWN_USER = 0xFF


class Users:
    """The users of a device: each has an index, from 1, and a secret consent code.

    Attributes:
        consented: Set after a user has given consent on the current link.
    """

    def __init__(self, codes: Iterable[int] = ()) -> None:
        """Register users.

        Args:
            codes: The consent codes in the order of the users' indexes.
        """
        self.consented = asyncio.Event()
        self._codes = list(codes)
        self._changes = 1
        self._increment = notifying(0x2A99, self._encoded_changes)
        self._increments = Feed()
        self._current = _UNKNOWN_USER
        self._control = ControlPoint(0x2A9F, self._answer, on_end=self._reset_consent)

    def _answer(self, request: bytes) -> bytes:
        opcode = request[0] if request else 0
        result, parameter = self._execute(opcode, request[1:])
        return bytes([_RESPONSE, opcode, result]) + parameter

    def _execute(self, opcode: int, parameter: bytes) -> tuple[int, bytes]:
        if opcode == _REGISTER:
            if len(parameter) != 2:
                return _INVALID_PARAMETER, b""
            self._codes.append(int.from_bytes(parameter, "little"))
            self._changes += 1
            self._increments.put(self._encoded_changes())
            return _SUCCESS, bytes([len(self._codes)])
        if opcode == _CONSENT:
            if len(parameter) != 3:
                return _INVALID_PARAMETER, b""
            index, code = struct.unpack("<BH", parameter)
            if not 1 <= index <= len(self._codes) or self._codes[index - 1] != code:
                return _NOT_AUTHORISED, b""
            self._current = index
            self.consented.set()
            return _SUCCESS, b""
        if opcode == _LIST:
            return _SUCCESS, bytes([len(self._codes)])
        return _NOT_SUPPORTED, b""

    def _encoded_changes(self) -> bytes:
        return struct.pack("<I", self._changes)

    def _reset_consent(self) -> None:
        self._current = _UNKNOWN_USER
        self.consented.clear()

    def part(self, rng: random.Random) -> Part:
        """Return the service: one person's data, and a control point to register and consent."""
        year = rng.randrange(1960, 2000)
        birth = struct.pack("<HBB", year, rng.randint(1, 12), rng.randint(1, 28))
        increment, control = self._increment, self._control
        characteristics = [
            increment,
            readable(0x2A9A, lambda: bytes([self._current])),
            readable(0x2A8A, b"Ada"),
            readable(0x2A85, birth),
            readable(0x2A8C, bytes([1])),
            readable(0x2A8E, struct.pack("<H", 178)),
            readable(0x2A98, struct.pack("<H", round(74.5 * 200))),
            control.characteristic,
        ]
        payloads = {
            increment: self._increments.payloads,
            control.characteristic: control.feed.payloads,
        }
        return Part(service(0x181C, characteristics), payloads)
