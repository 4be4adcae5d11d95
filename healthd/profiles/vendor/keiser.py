"""Keiser M Series bikes (M3i, M3iX): they only advertise, three times a second while in use.

Sources: the maker's "M Series Direct Communication" (dev.keiser.com) and BLE-Parser; packets that
owners of gymnasticon logged (pull request 50).
"""

from struct import Struct
from typing import Annotated, Any, ClassVar

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.fitness_machine.records import energy
from healthd.profiles.profile import Profile
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


def _metres(raw: int) -> int:
    if raw & _METRIC:
        return (raw & ~_METRIC) * _TENTH_OF_KM_M
    return round(raw * _TENTH_OF_MILE_M)


_RECORD = Struct("<4B4H2BH")
_KILOJOULES = energy()


def decode_bike(data: bytes) -> KeiserBike:
    """Decode manufacturer data 0102 of a bike that is in use.

    Version u8 and u8, data type u8, equipment u8, cadence u16 (0.1/min), heart rate u16 (0.1/min,
    0: none), power u16 (W), energy u16 (kcal), minutes u8, seconds u8, distance u16 (bit 15: 0.1
    km, else 0.1 miles), and since version 6.21 gear u8.
    """
    if not _is_live(data):
        raise DecodeError("expected 16 or 17 bytes of version 6, with the data type of a ride")
    major, minor, data_type, equipment, cadence, rate, power, kcal, minutes, seconds, trip = (
        _RECORD.unpack_from(data)
    )
    fields: dict[str, Any] = {
        "cadence_rpm": cadence / 10,
        "power_w": power,
        "heart_rate_bpm": rate / 10 if rate else None,
        "total_energy_kj": _KILOJOULES(kcal),
        "elapsed_time_s": minutes * 60 + seconds,
        "total_distance_m": _metres(trip),
        "equipment_id": equipment,
        # Its digits are those of the hexadecimal numbers: 0x40 is version .40.
        "version": f"{major:x}.{minor:02x}",
    }
    if data_type != _REAL_TIME:
        fields["interval"] = data_type - _INTERVALS.start
    if len(data) > _RECORD.size:
        fields["gear"] = data[_RECORD.size]
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
