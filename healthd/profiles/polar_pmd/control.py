"""PMD control point (FB005C81): requests, answers, and the features that a read returns.

Request: opcode u8, then its arguments. Answer: F0, opcode u8, type u8, status u8, more u8, then
the requested data; more is 1 if another answer follows. A read returns 0F and a bit for each
feature. Settings are repeated {key u8, count u8, values}. Sources: the vendor's SDK and its PMD
specification.
"""

import struct
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from healthd.profiles.packet.cursor import Cursor, optional_part
from healthd.profiles.packet.wires import words
from healthd.profiles.polar_pmd import kinds
from healthd.profiles.polar_pmd.raw import finite
from healthd.samples import Measurement, quantity

GET_SETTINGS = 1
START = 2
STOP = 3
GET_SDK_SETTINGS = 4
GET_STATUS = 5
GET_SDK_STATUS = 6

OK = 0
ALREADY = 6

_ANSWER = 0xF0
_FEATURES = 0x0F
_RECORDING = 0x80

# Settings by the keys of the decoded model: key on the wire, struct code of a value.
SETTINGS = {
    "sample_rates_hz": (0, "H"),
    "resolutions_bits": (1, "H"),
    "ranges": (2, "H"),
    "ranges_milli": (3, "I"),
    "channels": (4, "B"),
    "factors": (5, "f"),
    "security_hex": (6, "16s"),
}
_BY_KEY = {key: (name, struct.Struct(f"<{code}")) for name, (key, code) in SETTINGS.items()}

_features = words(kinds.WORDS)


class PmdControlPoint(Measurement):
    """A request to the sensor, its answer, or the sensor's features."""

    kind: ClassVar[str] = "pmd_control_point"

    opcode: Annotated[int | None, quantity("1")] = None
    """Opcode of a request."""
    request_opcode: Annotated[int | None, quantity("1")] = None
    """In an answer: opcode of the request that it answers."""
    measurement_type: Annotated[int | None, quantity("1")] = None
    recording: bool = False
    """True if it is about a recording in the sensor, not about a stream."""
    status: Annotated[int | None, quantity("1")] = None
    """0 if the request was accepted."""
    more: bool = False
    """True if another answer follows that continues this one."""
    features: list[str] | None = None
    """What the sensor can do."""
    sample_rates_hz: Annotated[list[int] | None, quantity("Hz")] = None
    """In a request the chosen rate, in an answer all available rates."""
    resolutions_bits: Annotated[list[int] | None, quantity("{bits}")] = None
    ranges: Annotated[list[int] | None, quantity("1")] = None
    """Largest value, in the type's own unit: g of acceleration, degrees per second, gauss."""
    ranges_milli: Annotated[list[int] | None, quantity("1")] = None
    """The same in thousandths of the unit."""
    channels: Annotated[list[int] | None, quantity("{channels}")] = None
    factors: Annotated[list[float | None] | None, quantity("1")] = None
    """The factors that the numbers of a compressed frame are multiplied by."""
    security_hex: list[str] | None = None
    streaming: list[str | int] | None = None
    """Types that are being streamed."""
    recorded: list[str | int] | None = None
    """Types that are being recorded in the sensor."""
    sdk_mode: bool | None = None
    payload_hex: str | None = None
    """The rest of the message, if it has no public layout."""


def decode_control(data: bytes) -> PmdControlPoint:
    """Decode FB005C81: a written request, an indicated answer, or the features as read."""
    cursor = Cursor(data)
    first = cursor.u8()
    fields: dict[str, Any] = {}
    if first == _ANSWER:
        _read_answer(cursor, fields)
    elif first == _FEATURES:
        fields["features"] = _features(cursor.u16())
    else:
        fields["opcode"] = first
        _read_request(first, cursor, fields)
    return PmdControlPoint.of(cursor.finish(fields))


def _read_answer(cursor: Cursor, fields: dict[str, Any]) -> None:
    opcode = fields["request_opcode"] = cursor.u8()
    _read_type(cursor, fields)
    status = fields["status"] = cursor.u8()
    more = cursor.u8() if cursor.remaining else 0
    fields["more"] = status == OK and bool(more)
    if status != OK or not cursor.remaining:
        return
    if opcode in (GET_SETTINGS, START, GET_SDK_SETTINGS):
        # A single byte is not a setting: an H10 ends its answer to a start with a reserved byte.
        if cursor.remaining > 1:
            _read_settings(cursor, fields)
    elif opcode == GET_STATUS:
        states = cursor.read_bytes(cursor.remaining)
        fields["streaming"] = _active(states, 0x40)
        fields["recorded"] = _active(states, 0x80)
    elif opcode == GET_SDK_STATUS:
        fields["sdk_mode"] = bool(cursor.u8())
    else:
        fields["payload_hex"] = cursor.read_bytes(cursor.remaining).hex()


def _read_request(opcode: int, cursor: Cursor, fields: dict[str, Any]) -> None:
    if opcode in (GET_SETTINGS, START, STOP, GET_SDK_SETTINGS):
        _read_type(cursor, fields)
        if opcode == START:
            _read_settings(cursor, fields)
    elif cursor.remaining and opcode not in (GET_STATUS, GET_SDK_STATUS):
        fields["payload_hex"] = cursor.read_bytes(cursor.remaining).hex()


def _read_type(cursor: Cursor, fields: dict[str, Any]) -> None:
    number = cursor.u8()
    fields["measurement_type"] = number & kinds.TYPE_MASK
    if number & _RECORDING:
        fields["recording"] = True


def _read_settings(cursor: Cursor, fields: dict[str, Any]) -> None:
    with optional_part(fields):
        while cursor.remaining:
            key = cursor.u8()
            if key not in _BY_KEY:
                # Without its size, nothing behind it can be found.
                fields["payload_hex"] = bytes([key, *cursor.read_bytes(cursor.remaining)]).hex()
                return
            name, form = _BY_KEY[key]
            values = cursor.read_bytes(cursor.u8() * form.size)
            fields[name] = _values(name, form.iter_unpack(values))


def _values(name: str, found: Iterable[tuple[Any, ...]]) -> list[Any]:
    values = [value for (value,) in found]
    if name == "factors":
        return finite(values)
    return [value.hex() for value in values] if name == "security_hex" else values


def _active(states: bytes, bit: int) -> list[str | int]:
    types = (state & kinds.TYPE_MASK for state in states if state & bit)
    return [kinds.WORDS.get(number, number) for number in types]
