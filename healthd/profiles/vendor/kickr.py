"""Control of Wahoo KICKRs by the maker's own characteristic, which predates FTMS.

It is part of Cycling Power (0x1818), which has their data. Sources: GoldenCheetah,
src/Train/BT40Device.cpp; checked against cagnulein/qdomyos-zwift,
src/devices/wahookickrsnapbike/wahookickrsnapbike.cpp, incyclist/devices, src/ble/wahoo/sensor.ts,
and kinetic-fit/sensors-swift-trainers, WahooTrainerSerializer.swift. All of them write opcode 20 EE
FC first, 42 with a power, 41 with a level and 40 with a resistance. Where they differ:

- A road (opcode 43) has a rolling resistance in steps of 0.0001 (GoldenCheetah, incyclist) or 0.001
  (the others), and its rider's weight is in it. So healthd sets no road: limits would not hold.
- An answer is 01, opcode, result, according to qdomyos-zwift and incyclist; 1 is success. A KICKR
  v5 answers 2 to opcode 20 and obeys, so any answer to that is a good one. GoldenCheetah does not
  wait for answers.
"""

import struct
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.machines import KICKR_CONTROL as CONTROL
from healthd.profiles.common.machines import Range
from healthd.profiles.fitness_machine.machine import Machine
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, quantity

# Of other things that only Wahoo's app reads; KICKRs advertise it (incyclist).
_SERVICE = "a026ee0b-0a7d-4ab3-97fa-f1500f9feb8b"

_UNLOCK, _RESISTANCE, _LEVEL, _POWER, _RESPONSE = 0x20, 0x40, 0x41, 0x42, 0x01
_SUCCESS = 1

# A share of the greatest resistance is written in 16,383 steps, and the other way round.
_FULL = 16_383

# The step of a resistance in the request: finer ones make no difference on a wheel.
_STEP_PCT = 0.1

Name = Literal[
    "unlock",
    "set_resistance",
    "set_level",
    "set_target_power",
    "response",
    "other",
]

_NAMES: dict[int, Name] = {
    _UNLOCK: "unlock",
    _RESISTANCE: "set_resistance",
    _LEVEL: "set_level",
    _POWER: "set_target_power",
    _RESPONSE: "response",
}


class KickrControl(Measurement):
    """A request to a KICKR, or its response."""

    kind: ClassVar[str] = "kickr_control"

    opcode: Annotated[int, quantity("1")]
    name: Name
    power_w: Annotated[int | None, quantity("W")] = None
    level: Annotated[int | None, quantity("1")] = None
    """Of the brake that gets harder with the speed, 0 to 9."""
    resistance_pct: Annotated[float | None, quantity("%")] = None
    request_opcode: Annotated[int | None, quantity("1")] = None
    result_code: Annotated[int | None, quantity("1")] = None


def decode_control(data: bytes) -> KickrControl:
    """Decode a request or a response: opcode u8 and its parameter, or 01, opcode u8, result u8."""
    if not data:
        raise DecodeError("offset 0: expected an opcode, found 0 bytes")
    opcode = data[0]
    fields: dict[str, int | float | str] = {"opcode": opcode, "name": _NAMES.get(opcode, "other")}
    sizes = {_RESISTANCE: 3, _LEVEL: 2, _POWER: 3, _RESPONSE: 3}
    if len(data) < (size := sizes.get(opcode, 1)):
        raise DecodeError(f"offset 1: expected {size - 1} bytes, found {len(data) - 1}")
    number = int.from_bytes(data[1:3], "little")
    if opcode == _POWER:
        fields["power_w"] = number
    elif opcode == _RESISTANCE:
        fields["resistance_pct"] = round(100 - 100 * number / _FULL, 2)
    elif opcode == _LEVEL:
        fields["level"] = data[1]
    elif opcode == _RESPONSE:
        fields["request_opcode"], fields["result_code"] = data[1], data[2]
    return KickrControl.of(fields)


def set_target_power(*, power_w: float) -> bytes:
    """Set the power that the brake keeps, in W. Raises ValueError for one that does not fit."""
    if not 0 <= power_w < 1 << 16:
        raise ValueError(f"power_w: expected 0 to 65535, found {power_w:.10g}")
    return struct.pack("<BH", _POWER, round(power_w))


def set_resistance(*, resistance_level: float) -> bytes:
    """Set the resistance in % of the greatest one. Raises ValueError for one that does not fit."""
    if not 0 <= resistance_level <= 100:
        raise ValueError(f"resistance_level: expected 0 to 100, found {resistance_level:.10g}")
    # Rounded up, which is towards no resistance.
    raw = -(-Fraction(repr(100 - resistance_level)) * _FULL // 100)
    return struct.pack("<BH", _RESISTANCE, raw)


class Kickr:
    """A KICKR on one link; see ``fitness_machine.dialect.Dialect``."""

    control = CONTROL
    answers_on = ""
    greeting = b""
    claim = bytes((_UNLOCK, 0xEE, 0xFC))
    # The lowest level of a brake that gets harder with the speed: no target power, little load.
    stop = bytes((_LEVEL, 0))
    inquiry = b""
    always_answers = False
    keeps_targets = True

    def __init__(self) -> None:
        """Control one; it reports nothing about itself."""
        self.machine = Machine(
            targets=frozenset({"power", "resistance"}),
            ranges={"resistance_level": Range(0, 100, _STEP_PCT, _STEP_PCT)},
            writers={"power_w": set_target_power, "resistance_level": set_resistance},
            has_session=False,
        )

    def steps(self, request: bytes) -> tuple[bytes, ...]:
        """Return what is written for a request: one packet."""
        return (request,)

    def release(self, *, simulated: bool, stopped: bool) -> tuple[bytes, ...]:
        """Return what releases it: the lowest level, also after a stop."""
        del simulated, stopped
        return (self.stop,)

    def begin(self, request: bytes) -> None:
        """Note nothing: answers name their requests."""

    def hear(self, value: bytes) -> None:
        """Note nothing: it has no stream of answers."""

    def answers(self, request: bytes, message: bytes) -> bool:
        """Return whether this message answers this request."""
        return len(message) > 2 and message[:2] == bytes((_RESPONSE, request[0]))

    def result(self, request: bytes, answer: bytes) -> str:
        """Return the result in a word; any answer to ``claim`` is a good one."""
        code = answer[2]
        return "success" if code == _SUCCESS or request == self.claim else f"result_{code}"


PROFILE = Profile(
    name="kickr",
    service=_SERVICE,
    names=("kickr*",),
    characteristics=(Characteristic(CONTROL, KickrControl, decode_control, Use.CONTROL),),
)
