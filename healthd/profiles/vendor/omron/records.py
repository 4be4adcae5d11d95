"""The records in a cuff's memory, as blood pressures like those of a standard cuff.

All models have the same eight bytes in front, in words of their order: systolic - 25 and diastolic,
pulse and year - 2000 (a word of a big-endian cuff has the second first), then a word of hour, day,
month, irregular pulse and movement, and a word of second, minute and cuff fit. Sources:
userx14/omblepy, deviceSpecific/*.py; eigger/hass-omron, omron_ble/record_parsers.py and tests.

Where they differ, or the maker's own memory maps that hass-omron compared with its parsers (#59,
#135, 2026) differ from both:

- Bit 13 of the last word is no low battery: no model has one there, and on those that find atrial
  fibrillation it belongs to that. It is not read.
- Bits 14 and 15 number the measurements of a series of three (TruRead). Only a wrist cuff that is
  not among these layouts has its position there. They are not read.
- The year has six bits (omblepy for a HEM-7530T), not eight (for a HEM-7322T). Both are right until
  2063, and no source says what the others are.
- The number of a record is at [10:12], not in its last two bytes. healthd does not need it.
"""

from healthd.profiles.blood_pressure import BloodPressure, Status
from healthd.profiles.packet.dates import date_text
from healthd.profiles.results.kind import Phase, ResultKind
from healthd.profiles.vendor.omron.layouts import Layout

_LEAST_SYSTOLIC = 25
_FIRST_YEAR = 2000
_LAST_SECOND = 59

# A greater first number is an empty place, on little-endian cuffs (hass-omron).
_GREATEST = 0xE1
_NEVER_WRITTEN = b"\xff" * 8

# By three bits: irregular pulse and movement of the third word, cuff fit of the fourth.
_IRREGULAR, _MOVEMENT, _CUFF_FITS = 1, 2, 4


def _list_status(bits: int) -> list[Status]:
    status: list[Status] = []
    if bits & _MOVEMENT:
        status.append("body_movement")
    if not bits & _CUFF_FITS:
        status.append("cuff_too_loose")
    if bits & _IRREGULAR:
        status.append("irregular_pulse")
    return status


_STATUSES = tuple(map(_list_status, range(8)))


def is_empty(layout: Layout, record: bytes) -> bool:
    """Return whether a place holds no record."""
    systolic, *others = _fronts(layout, record)
    if layout.order == "little" and systolic > _GREATEST:
        return True
    # A place that was prepared may have a first number only.
    return record.startswith(_NEVER_WRITTEN) or not any((*others, *record[4:8]))


def read_record(layout: Layout, record: bytes, user: int) -> BloodPressure | None:
    """Decode a record.

    Args:
        layout: of the cuff's memory.
        record: as many bytes as the layout says.
        user: whose ring it is in: 1 or 2.

    Returns:
        None for an empty place, and for what is not the result of a measurement.
    """
    if is_empty(layout, record):
        return None
    systolic, diastolic, pulse, year = _fronts(layout, record)
    systolic += _LEAST_SYSTOLIC
    if not 0 < diastolic < systolic:
        return None
    date, rest = (
        int.from_bytes(record[4:6], layout.order),
        int.from_bytes(record[6:8], layout.order),
    )
    parts = (
        _FIRST_YEAR + (year & 0x3F),
        date >> 10 & 0x0F,
        date >> 5 & 0x1F,
        date & 0x1F,
        rest >> 6 & 0x3F,
        # Six bits that count further: owners have seen up to 63 (omblepy).
        min(rest & 0x3F, _LAST_SECOND),
    )
    return BloodPressure.of(
        {
            "systolic_mmhg": systolic,
            "diastolic_mmhg": diastolic,
            # A record has none.
            "mean_arterial_pressure_mmhg": None,
            "device_time": date_text(parts),
            "pulse_rate_bpm": pulse or None,
            "user_id": user,
            "status": _STATUSES[date >> 14 | rest >> 10 & 0x04],
        }
    )


def _fronts(layout: Layout, record: bytes) -> tuple[int, int, int, int]:
    """Return the first four numbers: systolic - 25, diastolic, pulse, year."""
    first, second, third, fourth = record[:4]
    if layout.order == "big":
        return second, first, fourth, third
    return first, second, third, fourth


def _finished(_result: BloodPressure) -> Phase:
    return Phase.FINISHED


# The same values identify a result of the standard service, so a cuff that was read through that
# before repeats nothing.
KIND = ResultKind(
    model=BloodPressure,
    intermediate=lambda result: result,
    phase=_finished,
    values=("systolic_mmhg", "diastolic_mmhg", "pulse_rate_bpm"),
)
"""The results in a memory: each one is finished."""
