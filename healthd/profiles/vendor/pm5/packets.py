"""The packets of the rowing service: 0031 to 003a, and in another form within 0080.

Within 0080 an identifier comes first, and so that 20 bytes suffice, some fields are in another
packet: the average power in 0032, the work in 0036, the average pace in 003c.

Sources: the maker's "PM5 Bluetooth Smart Interface Definition", revision 1.30; ErgometerJS
(performancemonitorBle.ts and the recording row100meter.ts of a real PM5); openrowingmonitor
(docs/PM5_Interface.md, from traces). What is not obvious, or differs:

- Pace: per 500 m on a BikeErg, too, which shows it per 1000 m (ergarcade/pm5-base pull request 10).
- Last split time (0033): 0.01 s in the recording and the traces, 0.1 s in the document.
- Energy of the split (0033): left out. It is kcal in two real monitors (that recording, and
  TrackMyIndoorWorkout's c2_status2 test), kcal/h in the document's form for 0080 and in
  openrowingmonitor, and nothing in the packet says which. 0038 has both.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.fitness_machine.records import energy
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Field, Layout
from healthd.profiles.packet.wires import U8, U16, U24, Meaning, Wire, nothing, number, scaled, word
from healthd.profiles.vendor.pm5 import words
from healthd.profiles.vendor.pm5.models import (
    Ergometer,
    ErgometerSplit,
    ErgometerStroke,
    ErgometerWorkout,
)
from healthd.samples import Measurement

LBF_TENTHS = scaled(10 * 10**13, factor=44_482_216_152_605)
"""0.1 lbf to N; 1 lbf is exactly 4.4482216152605 N."""

_DECI, _CENTI, _MILLI = scaled(10), scaled(100), scaled(1000)
# The monitor sends 0 for what it does not know yet, or what the workout does not have.
_PACE_CENTI, _PACE_DECI = scaled(100, none=0), scaled(10, none=0)
_KNOWN = number(none=0)
_KILOJOULES = energy()
_WORKOUT, _INTERVAL = word(words.WORKOUT_TYPES), words.INTERVAL_TYPES
_NO_WORK = 0xFFFF

_TIME, _CALORIES, _DISTANCE = 0x00, 0x40, 0x80


def _interval(raw: int) -> words.IntervalType | int | None:
    return _INTERVAL.get(raw, raw)


def _target(raw: bytes) -> dict[str, Any]:
    """Return the end of the workout; nothing if it has none, or one in W (watt minutes)."""
    value, kind = int.from_bytes(raw[:3], "little"), raw[3]
    if not value:
        return {}
    if kind == _TIME:
        return {"target_time_s": value / 100}
    if kind == _DISTANCE:
        return {"target_distance_m": value}
    return {"target_energy_kj": _KILOJOULES(value)} if kind == _CALORIES else {}


def _device_time(raw: int) -> str | None:
    date, minute, hour = raw & 0xFFFF, raw >> 16 & 0xFF, raw >> 24
    if not date:
        return None
    return date_text((2000 + (date >> 9), date & 0x0F, date >> 4 & 0x1F, hour, minute, 0))


_TARGET_WIRE = Wire("4s", "duration and type")
_DATE_WIRE = Wire("I", "date and time")


_Entry = tuple[str, Wire] | tuple[str, Wire, Meaning]


def _all(*fields: _Entry) -> Layout:
    # Every packet fits into the 20 bytes of any link, so one that is shorter is damaged.
    return Layout(
        *(
            Field(key, wire, meaning=meaning[0] if meaning else None, required=True)
            for key, wire, *meaning in fields
        )
    )


_ELAPSED = ("elapsed_time_s", U24, _CENTI)
_AT = ("distance_m", U24, _DECI)
_MACHINE = ("machine", U8, word(words.MACHINES))

_GENERAL = _all(
    _ELAPSED,
    _AT,
    ("workout_type", U8, _WORKOUT),
    ("interval_type", U8, _interval),
    ("workout_state", U8, word(words.WORKOUT_STATES)),
    ("active", U8, bool),
    ("stroke_state", U8, word(words.STROKE_STATES)),
    ("work_distance_m", U24),
    ("", _TARGET_WIRE, _target),
    ("drag_factor", U8, _KNOWN),
)
_STATUS = (
    _ELAPSED,
    ("speed_mps", U16, _MILLI),
    ("stroke_rate_spm", U8),
    ("heart_rate_bpm", U8, known_rate),
    ("pace_s_per_500m", U16, _PACE_CENTI),
    ("average_pace_s_per_500m", U16, _PACE_CENTI),
    ("rest_distance_m", U16),
    ("rest_time_s", U24, _CENTI),
)
_AVERAGE_POWER = ("average_power_w", U16)
_SPLIT_SO_FAR = (
    ("total_energy_kj", U16, _KILOJOULES),
    ("split_average_pace_s_per_500m", U16, _PACE_CENTI),
    ("split_average_power_w", U16),
    ("", U16, nothing),
    ("last_split_time_s", U24, scaled(100, none=0)),
    ("last_split_distance_m", U24, _KNOWN),
)
_DRIVE = (
    _ELAPSED,
    _AT,
    ("drive_length_m", U8, _CENTI),
    ("drive_time_s", U8, _CENTI),
    ("recovery_time_s", U16, _CENTI),
    ("stroke_distance_m", U16, _CENTI),
    ("peak_force_n", U16, LBF_TENTHS),
    ("average_force_n", U16, LBF_TENTHS),
)
_WORK = ("work_j", U16, scaled(10, none=_NO_WORK))
_COUNT = ("stroke_count", U16)
_PROJECTION = (
    _ELAPSED,
    ("power_w", U16),
    ("energy_per_hour_kj_per_h", U16, _KILOJOULES),
    _COUNT,
    ("projected_time_s", U24, _KNOWN),
    ("projected_distance_m", U24, _KNOWN),
)
_SPLIT = _all(
    _ELAPSED,
    _AT,
    ("split_time_s", U24, _DECI),
    ("split_distance_m", U24),
    ("rest_time_s", U16),
    ("rest_distance_m", U16),
    ("interval_type", U8, _interval),
    ("interval", U8),
)
_SPLIT_MORE = (
    _ELAPSED,
    ("average_stroke_rate_spm", U8),
    ("heart_rate_bpm", U8, known_rate),
    ("rest_heart_rate_bpm", U8, known_rate),
    ("average_pace_s_per_500m", U16, _PACE_DECI),
    ("energy_kj", U16, _KILOJOULES),
    ("energy_per_hour_kj_per_h", U16, _KILOJOULES),
    ("average_speed_mps", U16, _MILLI),
    ("average_power_w", U16),
    ("drag_factor", U8, _KNOWN),
    ("interval", U8),
)
_LOGGED_AT = ("device_time", _DATE_WIRE, _device_time)
_PACE_OF_ALL = ("average_pace_s_per_500m", U16, _PACE_DECI)
_SUMMARY = (
    _LOGGED_AT,
    _ELAPSED,
    ("total_distance_m", U24, _DECI),
    ("average_stroke_rate_spm", U8),
    ("ending_heart_rate_bpm", U8, known_rate),
    ("average_heart_rate_bpm", U8, known_rate),
    ("min_heart_rate_bpm", U8, known_rate),
    ("max_heart_rate_bpm", U8, known_rate),
    ("drag_factor", U8, _KNOWN),
    ("recovery_heart_rate_bpm", U8, known_rate),
    ("workout_type", U8, _WORKOUT),
)
_SUMMARY_MORE = (
    ("split_size_raw", U16),
    ("split_count", U8),
    ("total_energy_kj", U16, _KILOJOULES),
    ("average_power_w", U16),
    ("rest_distance_m", U24),
    ("rest_time_s", U16),
    ("energy_per_hour_kj_per_h", U16, _KILOJOULES),
)

_Made = TypeVar("_Made", bound=Measurement)


def _decoder(model: type[_Made], layout: Layout) -> Callable[[bytes], _Made]:
    def decode(data: bytes) -> _Made:
        return model.of(layout.read(data))

    return decode


def _growing(model: type[_Made], *fields: _Entry) -> Callable[[bytes], _Made]:
    """Return a decoder of packets whose last byte, the machine, is absent in old firmware."""
    before, since = _all(*fields), _all(*fields, _MACHINE)
    size = since.size(b"")

    def decode(data: bytes) -> _Made:
        return model.of((since if len(data) >= size else before).read(data))

    return decode


_general = _decoder(Ergometer, _GENERAL)
_split = _decoder(ErgometerSplit, _SPLIT)
_split_more = _growing(ErgometerSplit, *_SPLIT_MORE)

SEPARATE: Mapping[int, Callable[[bytes], Measurement]] = {
    0x31: _general,
    0x32: _growing(Ergometer, *_STATUS),
    0x33: _decoder(Ergometer, _all(_ELAPSED, ("interval", U8), _AVERAGE_POWER, *_SPLIT_SO_FAR)),
    0x35: _decoder(ErgometerStroke, _all(*_DRIVE, _WORK, _COUNT)),
    0x36: _decoder(ErgometerStroke, _all(*_PROJECTION)),
    0x37: _split,
    0x38: _split_more,
    0x39: _decoder(ErgometerWorkout, _all(*_SUMMARY, _PACE_OF_ALL)),
    0x3A: _decoder(
        ErgometerWorkout, _all(_LOGGED_AT, ("interval_type", U8, _interval), *_SUMMARY_MORE)
    ),
}
"""Decoders by the last byte of the UUID's first part."""

MULTIPLEXED: Mapping[int, Callable[[bytes], Measurement]] = {
    0x31: _general,
    0x32: _growing(Ergometer, *_STATUS, _AVERAGE_POWER),
    0x33: _decoder(Ergometer, _all(_ELAPSED, ("interval", U8), *_SPLIT_SO_FAR)),
    0x35: _decoder(ErgometerStroke, _all(*_DRIVE, _COUNT)),
    0x36: _decoder(ErgometerStroke, _all(*_PROJECTION, _WORK)),
    0x37: _split,
    0x38: _split_more,
    0x39: _decoder(ErgometerWorkout, _all(*_SUMMARY)),
    0x3A: _decoder(ErgometerWorkout, _all(_LOGGED_AT, *_SUMMARY_MORE)),
    # The game and its score are left out.
    0x3C: _decoder(
        ErgometerWorkout,
        _all(_LOGGED_AT, _PACE_OF_ALL, ("", U8, nothing), ("", U16, nothing), _MACHINE),
    ),
}
"""The same for what follows the identifier in 0080."""
