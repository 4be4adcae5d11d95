"""What a scale shares with its users: the time (GATT service 0x1805) and their data (0x181C)."""

import random
import struct
from collections.abc import Iterable
from datetime import datetime

from bumble.att import ATT_Error

from healthd.simulator.attributes import notifying, readable, service, writeable
from healthd.simulator.feed import ControlPoint, Feed, paced
from healthd.simulator.numbers import date_time
from healthd.simulator.part import Part

_WRITE_REQUEST_REJECTED = 0xFC
_CURRENT_TIME_SIZE = 10
# Berlin's winter: one hour east in quarters of an hour, and no daylight saving time.
_LOCAL_TIME = bytes([4, 0])
# Source: cellular network; accurate to 1/8 s; set less than an hour ago.
_REFERENCE_TIME = bytes([6, 1, 0, 0])
_REGISTER, _CONSENT, _LIST, _RESPONSE = 0x01, 0x02, 0x04, 0x20
_SUCCESS, _NOT_SUPPORTED, _INVALID_PARAMETER, _NOT_AUTHORISED = 1, 2, 3, 5
_UNKNOWN_USER = 0xFF


def current_time_part(period: float) -> Part:
    """The Current Time service; it can be set, and tells the time every ``period`` seconds."""
    offset_s = 0.0

    def now(_elapsed: float = 0.0) -> Iterable[bytes]:
        moment = datetime.fromtimestamp(datetime.now().timestamp() + offset_s)  # noqa: DTZ005, DTZ006 - the device knows no time zone
        fraction = moment.microsecond * 256 // 1_000_000
        yield date_time(moment) + bytes([moment.isoweekday(), fraction, 0])

    def write(value: bytes) -> None:
        nonlocal offset_s
        if len(value) != _CURRENT_TIME_SIZE:
            raise ATT_Error(_WRITE_REQUEST_REJECTED)
        try:
            moment = datetime(*struct.unpack_from("<H5B", value))  # noqa: DTZ001 - as above
        except ValueError as error:
            raise ATT_Error(_WRITE_REQUEST_REJECTED) from error
        offset_s = moment.timestamp() - datetime.now().timestamp()  # noqa: DTZ005 - as above

    current = writeable(0x2A2B, write, read=lambda: next(iter(now())), notifies=True)
    characteristics = [current, readable(0x2A0F, _LOCAL_TIME), readable(0x2A14, _REFERENCE_TIME)]
    return Part(service(0x1805, characteristics), {current: paced(now, period)})


class _Users:
    """Who may use a device: an index for each, and a code that only they know."""

    def __init__(self) -> None:
        self._codes: list[int] = []
        self._changes = 1
        self.increment = notifying(0x2A99, lambda: self._increment)
        self.increments = Feed()
        self.current = _UNKNOWN_USER
        self.control = ControlPoint(0x2A9F, self._answer, on_end=self._forget)

    def _answer(self, request: bytes) -> bytes:
        opcode = request[0] if request else 0
        result, parameter = self._carry_out(opcode, request[1:])
        return bytes([_RESPONSE, opcode, result]) + parameter

    def _carry_out(self, opcode: int, parameter: bytes) -> tuple[int, bytes]:
        if opcode == _REGISTER:
            if len(parameter) != 2:
                return _INVALID_PARAMETER, b""
            self._codes.append(int.from_bytes(parameter, "little"))
            self._changes += 1
            self.increments.put(self._increment)
            return _SUCCESS, bytes([len(self._codes)])
        if opcode == _CONSENT:
            if len(parameter) != 3:
                return _INVALID_PARAMETER, b""
            index, code = struct.unpack("<BH", parameter)
            if not 1 <= index <= len(self._codes) or self._codes[index - 1] != code:
                return _NOT_AUTHORISED, b""
            self.current = index
            return _SUCCESS, b""
        if opcode == _LIST:
            return _SUCCESS, bytes([len(self._codes)])
        return _NOT_SUPPORTED, b""

    @property
    def _increment(self) -> bytes:
        return struct.pack("<I", self._changes)

    def _forget(self) -> None:
        self.current = _UNKNOWN_USER


def user_data_part(rng: random.Random) -> Part:
    """The User Data service: one person's data, and a control point to register and consent."""
    users = _Users()
    birth = struct.pack("<HBB", rng.randrange(1960, 2000), rng.randint(1, 12), rng.randint(1, 28))
    characteristics = [
        users.increment,
        readable(0x2A9A, lambda: bytes([users.current])),
        readable(0x2A8A, b"Ada"),
        readable(0x2A85, birth),
        readable(0x2A8C, bytes([1])),
        readable(0x2A8E, struct.pack("<H", 178)),
        readable(0x2A98, struct.pack("<H", round(74.5 * 200))),
        users.control.characteristic,
    ]
    return Part(
        service(0x181C, characteristics),
        {
            users.increment: users.increments.payloads,
            users.control.characteristic: users.control.feed.payloads,
        },
    )
