"""The objects in a BTHome packet: id u8, then a value whose size depends on the id.

Layout: BTHome v2 (bthome.io/format), as of object 0x3B, command.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from healthd.errors import DecodeError
from healthd.profiles.packet.cursor import Cursor, Truncated
from healthd.profiles.packet.wires import Meaning, scaled
from healthd.profiles.vendor.bthome.environment import LightLevel

_LIGHT_LEVELS: tuple[LightLevel, ...] = ("dark", "twilight", "bright")

# The length of a command's arguments is in the low bits of the byte before its opcode.
_COMMAND, _LENGTH_BITS = 0x3B, 0x1F
_TEXT, _RAW = 0x53, 0x54
_HIGHEST_PERCENT = 100

# A device with several sensors of a kind repeats the object.
_SEVERAL = frozenset({"temperature_c", "humidity_pct", "moisture_pct"})
_FURTHER = ("second", "third")


class _Object(NamedTuple):
    key: str
    size: int
    meaning: Meaning | None = None
    signed: bool = False


def _level(raw: int) -> int | None:
    return raw if raw <= _HIGHEST_PERCENT else None


def _light_level(raw: int) -> LightLevel | int:
    return _LIGHT_LEVELS[raw] if raw < len(_LIGHT_LEVELS) else raw


_HUNDREDTHS, _TENTHS = scaled(100), scaled(10)
# A pound is 0.45359237 kg.
_HUNDREDTHS_OF_A_POUND = scaled(100 * 100_000_000, factor=45_359_237)

_OBJECTS: Mapping[int, _Object] = {
    0x00: _Object("packet_id", 1),
    0x01: _Object("battery_level_pct", 1, _level),
    0x02: _Object("temperature_c", 2, _HUNDREDTHS, signed=True),
    0x03: _Object("humidity_pct", 2, _HUNDREDTHS),
    0x04: _Object("air_pressure_hpa", 3, _HUNDREDTHS),
    0x05: _Object("illuminance_lx", 3, _HUNDREDTHS),
    0x06: _Object("mass_kg", 2, _HUNDREDTHS),
    0x07: _Object("mass_kg", 2, _HUNDREDTHS_OF_A_POUND),
    0x08: _Object("dew_point_c", 2, _HUNDREDTHS, signed=True),
    0x0D: _Object("pm2_5_ug_per_m3", 2),
    0x0E: _Object("pm10_ug_per_m3", 2),
    0x11: _Object("open", 1, bool),
    0x12: _Object("co2_ppm", 2),
    0x13: _Object("tvoc_ug_per_m3", 2),
    0x14: _Object("moisture_pct", 2, _HUNDREDTHS),
    0x15: _Object("battery_low", 1, bool),
    0x17: _Object("carbon_monoxide_detected", 1, bool),
    0x1A: _Object("door_open", 1, bool),
    0x1C: _Object("gas_detected", 1, bool),
    0x1E: _Object("light_detected", 1, bool),
    0x20: _Object("wet", 1, bool),
    0x21: _Object("motion_detected", 1, bool),
    0x22: _Object("moving", 1, bool),
    0x23: _Object("occupied", 1, bool),
    0x25: _Object("present", 1, bool),
    0x29: _Object("smoke_detected", 1, bool),
    0x2A: _Object("sound_detected", 1, bool),
    0x2C: _Object("vibration_detected", 1, bool),
    0x2D: _Object("window_open", 1, bool),
    0x2E: _Object("humidity_pct", 1),
    0x2F: _Object("moisture_pct", 1),
    0x45: _Object("temperature_c", 2, _TENTHS, signed=True),
    0x46: _Object("uv_index", 1, _TENTHS),
    0x57: _Object("temperature_c", 1, signed=True),
    0x58: _Object("temperature_c", 1, scaled(100, factor=35), signed=True),
    0x64: _Object("light_level", 1, _light_level),
}

# The sizes of objects about neither rooms nor bodies: energy, water, buttons, the device's version.
_OTHER_SIZES: Mapping[int, int] = {
    **dict.fromkeys((0x09, 0x0F, 0x10, 0x16, 0x18, 0x19, 0x1B, 0x1D, 0x1F, 0x24), 1),
    **dict.fromkeys((0x26, 0x27, 0x28, 0x2B, 0x3A, 0x59, 0x60, 0x65), 1),
    **dict.fromkeys((0x0C, 0x3C, 0x3D, 0x3F, 0x40, 0x41, 0x43, 0x44, 0x47, 0x48, 0x49, 0x4A), 2),
    **dict.fromkeys((0x51, 0x52, 0x56, 0x5A, 0x5D, 0x5E, 0x5F, 0x61, 0xF0), 2),
    **dict.fromkeys((0x0A, 0x0B, 0x42, 0x4B, 0xF2), 3),
    **dict.fromkeys((0x3E, 0x4C, 0x4D, 0x4E, 0x4F, 0x50, 0x55, 0x5B, 0x5C, 0x62, 0x63, 0xF1), 4),
}


class UnknownObject(DecodeError):
    """An object whose size is not known, so that nothing after it can be read."""


def read_objects(data: bytes) -> dict[str, Any]:
    """Return the values of the objects in a packet, without its first byte.

    Devices send objects in the order of their ids, and a later edition of the format adds higher
    ids. So what precedes an unknown object is complete; the rest counts as trailing bytes.

    Raises:
        DecodeError: the first object is unknown or cut short.
    """
    cursor = Cursor(data)
    fields: dict[str, Any] = {}
    while True:
        rest = cursor.remaining
        try:
            _read(cursor, fields)
        except Truncated:
            if rest == len(data):
                raise
            if rest:
                fields["truncated"] = True
            return fields
        except UnknownObject:
            if rest == len(data):
                raise
            fields["trailing_bytes"] = rest
            return fields


def _read(cursor: Cursor, fields: dict[str, Any]) -> None:
    number = cursor.u8()
    if known := _OBJECTS.get(number):
        raw = int.from_bytes(cursor.read_bytes(known.size), "little", signed=known.signed)
        if key := _free_key(known.key, fields):
            fields[key] = raw if known.meaning is None else known.meaning(raw)
    elif size := _OTHER_SIZES.get(number):
        cursor.read_bytes(size)
    elif number in (_TEXT, _RAW):
        cursor.read_bytes(cursor.u8())
    elif number == _COMMAND:
        cursor.read_bytes((cursor.u8() & _LENGTH_BITS) + 1)
    else:
        raise UnknownObject(f"found the object 0x{number:02x}, which is unknown")


def _free_key(key: str, fields: Mapping[str, Any]) -> str | None:
    """Return the key for the next value of a kind; None if there is no place for it."""
    keys = (key, *(f"{word}_{key}" for word in _FURTHER)) if key in _SEVERAL else (key,)
    return next((each for each in keys if each not in fields), None)
