"""Keiser M Series bikes (M3i, M3iX): they only advertise, three times a second while in use.

Sources: the maker's "M Series Direct Communication" (dev.keiser.com) and BLE-Parser; packets that
owners of gymnasticon logged (pull request 50).
"""

from typing import Annotated, Any, ClassVar

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Broadcast, Profile, Use
from healthd.profiles.fitness_machine.records import energy
from healthd.profiles.packet.layout import Field, Layout
from healthd.profiles.packet.wires import U8, U16, Wire, scaled
from healthd.samples import Measurement, quantity

# Every 0.32 s, or every 2 s before version 6.30. Some controllers report one in ten seconds.
SILENCE_S = 30.0

# Version 6 is the bikes; the M7i has another version and another layout.
_MAJOR = 0x06
# Without the gear, before version 6.21, and with it.
_SIZES = (16, 17)
_DATA_TYPE_AT = 2
_REAL_TIME = 0
# The same, in an interval of the ride: 128 and its number. Others are averages of what is over.
_INTERVALS = range(128, 228)

_METRIC = 0x8000
_TENTH_OF_KM_M = 100
_TENTH_OF_MILE_M = 160.9344


class KeiserBike(Measurement):
    """What a bike shows during a ride."""

    kind: ClassVar[str] = "keiser_bike"

    cadence_rpm: Annotated[float, quantity("/min", mdc=8454255)]
    power_w: Annotated[int, quantity("W", mdc=8454259)]
    heart_rate_bpm: Annotated[float | None, quantity("/min", mdc=8454258, loinc="8867-4")]
    """``null`` if the bike receives no strap."""
    total_energy_kj: Annotated[float, quantity("kJ", mdc=8454263, loinc="41981-2")]
    elapsed_time_s: Annotated[int, quantity("s")]
    total_distance_m: Annotated[int, quantity("m", mdc=8454247)]
    """In steps of 100 m, or of a tenth of a mile if the bike shows miles."""
    gear: Annotated[int, quantity("1")] = 0
    interval: Annotated[int, quantity("1")] = 0
    """The number of the interval; absent if the ride is not divided into intervals."""
    equipment_id: Annotated[int, quantity("1")]
    """The number that was given to the bike, which distinguishes it from others in the room."""
    version: str
    """Of the bike's display, such as ``6.40``."""


def _is_live(data: bytes) -> bool:
    if len(data) not in _SIZES or data[0] != _MAJOR:
        return False
    data_type = data[_DATA_TYPE_AT]
    return data_type == _REAL_TIME or data_type in _INTERVALS


def _interval(data_type: int) -> dict[str, int]:
    return {} if data_type == _REAL_TIME else {"interval": data_type - _INTERVALS.start}


def _metres(raw: int) -> int:
    if raw & _METRIC:
        return (raw & ~_METRIC) * _TENTH_OF_KM_M
    return round(raw * _TENTH_OF_MILE_M)


# The digits of a version are those of its hexadecimal number: 0x40 is version .40.
_VERSION = Wire("2s", "version", lambda data: f"{data[0]:x}.{data[1]:02x}")
_DURATION = Wire("2s", "duration", lambda data: data[0] * 60 + data[1])
_TENTHS = scaled(10)


def _layout(*ending: Field) -> Layout:
    return Layout(
        Field("version", _VERSION, required=True),
        Field("", U8, meaning=_interval, required=True),
        Field("equipment_id", U8, required=True),
        Field("cadence_rpm", U16, meaning=_TENTHS, required=True),
        Field("heart_rate_bpm", U16, meaning=lambda raw: _TENTHS(raw) or None, required=True),
        Field("power_w", U16, required=True),
        Field("total_energy_kj", U16, meaning=energy(), required=True),
        Field("elapsed_time_s", _DURATION, required=True),
        Field("total_distance_m", U16, meaning=_metres, required=True),
        *ending,
    )


_WITHOUT_GEAR, _WITH_GEAR = _layout(), _layout(Field("gear", U8, required=True))


def decode_bike(data: bytes) -> KeiserBike:
    """Decode manufacturer data 0102 of a bike that is in use.

    Version u8 and u8, data type u8, equipment u8, cadence u16 (0.1/min), heart rate u16 (0.1/min,
    0: none), power u16 (W), energy u16 (kcal), minutes u8, seconds u8, distance u16 (bit 15: 0.1
    km, else 0.1 miles), and since version 6.21 gear u8.
    """
    if not _is_live(data):
        raise DecodeError("expected 16 or 17 bytes of version 6, with the data type of a ride")
    layout = _WITH_GEAR if len(data) == max(_SIZES) else _WITHOUT_GEAR
    fields: dict[str, Any] = layout.read(data)
    return KeiserBike.of(fields)


PROFILE = Profile(
    name="keiser",
    broadcasts=(
        Broadcast(
            "keiser",
            KeiserBike,
            decode_bike,
            Use.STREAM,
            SILENCE_S,
            keys=("manufacturer_data_0102",),
            fits=_is_live,
        ),
    ),
)
