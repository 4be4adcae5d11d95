"""A Wahoo KICKR without FTMS: Cycling Power (0x1818) with the maker's control point."""

import random
import struct
from collections.abc import Callable
from typing import cast

from bumble.gatt import Characteristic, Service

from healthd.simulator.attributes import service
from healthd.simulator.feed import ControlPoint
from healthd.simulator.part import Part
from healthd.simulator.sensors.power_meter import cycling_power

SERVICE = "a026ee0b-0a7d-4ab3-97fa-f1500f9feb8b"
CONTROL = "a026e005-0a7d-4ab3-97fa-f1500f9feb8b"

_UNLOCK, _RESISTANCE, _LEVEL, _POWER, _RESPONSE = 0x20, 0x40, 0x41, 0x42, 0x01
_UNLOCKS = bytes([_UNLOCK, 0xEE, 0xFC])
_SUCCESS, _FAILED = 1, 2
_FULL = 16_383


class KickrBrake:
    """The brake of a KICKR.

    Attributes:
        unlocked: Whether the client has unlocked it.
        target_w: The power that it holds; None if it holds none.
        resistance: The share of its greatest resistance; None if it holds none.
        level: The level of a brake that gets harder with the speed; None if it is not set.
        answers: Whether it answers requests.
        record: Called with every request.
        control: The control point.
    """

    def __init__(self) -> None:
        """Start locked."""
        self.unlocked = False
        self.target_w: int | None = None
        self.resistance: float | None = None
        self.level: int | None = None
        self.answers = True
        self.record: Callable[[bytes], None] = lambda _: None
        self.control = ControlPoint(CONTROL, self._answer, on_end=self._lock)

    def _lock(self) -> None:
        self.unlocked = False

    def _answer(self, request: bytes) -> bytes | None:
        self.record(request)
        result = _SUCCESS if self._obey(request) else _FAILED
        return bytes([_RESPONSE, request[0], result]) if self.answers else None

    def _obey(self, request: bytes) -> bool:
        self.unlocked |= request == _UNLOCKS
        if not self.unlocked:
            return False
        opcode = request[0]
        if opcode in (_RESISTANCE, _LEVEL, _POWER):
            self.target_w = self.resistance = self.level = None
        if opcode == _POWER:
            (self.target_w,) = struct.unpack_from("<H", request, 1)
        elif opcode == _RESISTANCE:
            self.resistance = 1 - struct.unpack_from("<H", request, 1)[0] / _FULL
        elif opcode == _LEVEL:
            self.level = request[1]
        # A v5 answers 2 to being unlocked, and obeys.
        return opcode != _UNLOCK


def kickr_parts(brake: KickrBrake, rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a KICKR with this brake: a power meter with one more characteristic."""
    power, *others = cycling_power(rng, period)
    characteristics = cast(list[Characteristic[bytes]], power.service.characteristics)
    with_control = Part(
        Service(power.service.uuid, [*characteristics, brake.control.characteristic]),
        {**power.payloads, brake.control.characteristic: brake.control.feed.payloads},
        advertised=True,
    )
    # It has more services, which only the maker's app reads.
    return with_control, Part(service(SERVICE, [])), *others


def kickr(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a KICKR."""
    return kickr_parts(KickrBrake(), rng, period)
