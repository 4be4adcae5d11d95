"""Current Time service (0x1805), and characteristics of time that other services use too.

Layouts: GATT Specification Supplement. Zones and daylight saving are in quarters of an hour.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, ClassVar, Literal, get_args

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.dialogue import Exchange, Opening, Turn
from healthd.profiles.options import Options
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Field, Layout
from healthd.profiles.packet.wires import DATE_TIME, S8, U8, number, scaled, word, words
from healthd.profiles.profile import Profile
from healthd.samples import DeviceTimed, Measurement, quantity

_QUARTER_S = 15 * 60
# UTC-12 to UTC+14; -128 means unknown, other values are reserved.
_ZONES = range(-48, 57)
_DST_OFFSETS_S = {0: 0, 2: 1800, 4: 3600, 8: 7200}
# The Gregorian calendar, and the date-time of GATT, begin in this year.
_FIRST_YEAR = 1582
# The clock was set, but a field such as the day of the week was ignored (Current Time Service 1.1).
_DATA_FIELD_IGNORED = 0x80
_DATE_TIME_SIZE = 7
# In 1/8 s: 254 means greater than this, 255 means unknown.
_LARGEST_ACCURACY = 253

AdjustReason = Literal["manual", "external", "time_zone", "dst"]
TimeSource = Literal[
    "unknown",
    "network_time_protocol",
    "gps",
    "radio_time_signal",
    "manual",
    "atomic_clock",
    "cellular_network",
    "not_synchronized",
]

_REASONS: dict[int, AdjustReason] = dict(enumerate(get_args(AdjustReason)))
_SOURCES: dict[int, TimeSource] = dict(enumerate(get_args(TimeSource)))


class DateTime(DeviceTimed):
    """A date and a time of the device, in its own time zone."""

    kind: ClassVar[str] = "date_time"


class CurrentTime(DeviceTimed):
    """The time of the device's clock, and why the clock was last set."""

    kind: ClassVar[str] = "current_time"

    day_of_week: Annotated[int | None, quantity("1")]
    """1 is Monday, 7 is Sunday; ``null`` means unknown. Values above 7 are kept as sent."""
    fractions_s: Annotated[float, quantity("s")]
    """Fraction of a second to add to ``device_time``."""
    adjust_reason: list[AdjustReason]


class LocalTimeInformation(Measurement):
    """The time zone of the device's clock; ``null`` means unknown."""

    kind: ClassVar[str] = "local_time_information"

    time_zone_s: Annotated[int | None, quantity("s")]
    """Local standard time minus UTC."""
    dst_offset_s: Annotated[int | None, quantity("s")]
    """What daylight saving currently adds to standard time."""


class TimeZone(Measurement):
    """Local standard time minus UTC; ``null`` means unknown."""

    kind: ClassVar[str] = "time_zone"

    time_zone_s: Annotated[int | None, quantity("s")]


class DstOffset(Measurement):
    """What daylight saving currently adds to local standard time; ``null`` means unknown."""

    kind: ClassVar[str] = "dst_offset"

    dst_offset_s: Annotated[int | None, quantity("s")]


class ReferenceTimeInformation(Measurement):
    """The source that the device's clock was last set from."""

    kind: ClassVar[str] = "reference_time_information"

    source: TimeSource | int
    """A number without a name here stays a number."""
    accuracy_s: Annotated[float | None, quantity("s")]
    """``null`` if it is unknown, or worse than 31.625 s."""
    days_since_update: Annotated[int, quantity("{days}")]
    """255 means 255 or more."""
    hours_since_update: Annotated[int, quantity("{hours}")]
    """In addition to the days; 255 if these are 255."""


def _zone(quarters: int) -> int | None:
    return quarters * _QUARTER_S if quarters in _ZONES else None


def _accuracy(eighths: int) -> float | None:
    return eighths / 8 if eighths <= _LARGEST_ACCURACY else None


# All fields are required: each value has one size, and a shorter one is something else.
_MOMENT = Field("device_time", DATE_TIME, meaning=date_text, required=True)
_ZONE = Field("time_zone_s", S8, meaning=_zone, required=True)
_DATE_TIME = Layout(_MOMENT)
_CURRENT_TIME = Layout(
    _MOMENT,
    Field("day_of_week", U8, meaning=number(0), required=True),
    Field("fractions_s", U8, meaning=scaled(256), required=True),
    Field("adjust_reason", U8, meaning=words(_REASONS), required=True),
)
_DST = Field("dst_offset_s", U8, meaning=_DST_OFFSETS_S.get, required=True)
_LOCAL_TIME = Layout(_ZONE, _DST)
_TIME_ZONE = Layout(_ZONE)
_DST_OFFSET = Layout(_DST)
_REFERENCE = Layout(
    Field("source", U8, meaning=word(_SOURCES), required=True),
    Field("accuracy_s", U8, meaning=_accuracy, required=True),
    Field("days_since_update", U8, required=True),
    Field("hours_since_update", U8, required=True),
)


def decode_current_time(data: bytes) -> CurrentTime:
    """Decode 2A2B: date-time, day of the week u8, fractions u8 (1/256 s), adjust reason u8."""
    return CurrentTime.of(_CURRENT_TIME.read(data))


def decode_date_time(data: bytes) -> DateTime:
    """Decode 2A08: date-time, 7 bytes."""
    return DateTime.of(_DATE_TIME.read(data))


def decode_local_time_information(data: bytes) -> LocalTimeInformation:
    """Decode 2A0F: time zone s8 (quarters of an hour), daylight saving u8."""
    return LocalTimeInformation.of(_LOCAL_TIME.read(data))


def decode_time_zone(data: bytes) -> TimeZone:
    """Decode 2A0E: time zone s8 (quarters of an hour)."""
    return TimeZone.of(_TIME_ZONE.read(data))


def decode_dst_offset(data: bytes) -> DstOffset:
    """Decode 2A0D: daylight saving u8: 0, 2, 4 or 8 quarters of an hour."""
    return DstOffset.of(_DST_OFFSET.read(data))


def decode_reference_time_information(data: bytes) -> ReferenceTimeInformation:
    """Decode 2A14: source u8, accuracy u8 (1/8 s), days u8 and hours u8 since the clock was set."""
    return ReferenceTimeInformation.of(_REFERENCE.read(data))


def encode_current_time(when: datetime, *, adjust_reason: Iterable[AdjustReason] = ()) -> bytes:
    """Return the 10 bytes that set a device's clock; many scales send nothing before that.

    Args:
        when: the time to set: local time, because the device knows no zone.
        adjust_reason: why the clock is set.

    Raises:
        ValueError: the year is before 1582, or a reason is unknown.
    """
    if when.year < _FIRST_YEAR:
        raise ValueError(f"when: expected a year from {_FIRST_YEAR} to 9999, found {when.year}")
    bits = {reason: 1 << number for number, reason in _REASONS.items()}
    reasons = set(adjust_reason)
    if unknown := reasons - bits.keys():
        raise ValueError(f"adjust_reason: expected {', '.join(bits)}, found {sorted(unknown)[0]}")
    fractions = when.microsecond * 256 // 1_000_000
    date = (when.month, when.day, when.hour, when.minute, when.second)
    bits_set = sum(bits[reason] for reason in reasons)
    return when.year.to_bytes(2, "little") + bytes((*date, when.isoweekday(), fractions, bits_set))


def encode_date_time(when: datetime) -> bytes:
    """Return the 7 bytes that set the clock of a device without the Current Time service.

    Args:
        when: the time to set: local time, because the device knows no zone.

    Raises:
        ValueError: the year is before 1582.
    """
    return encode_current_time(when)[:_DATE_TIME_SIZE]


def set_clock(options: Options) -> Exchange:
    """Set the device's clock to the local time, if that is known.

    The clock is not read first: reading costs as much as writing, and scales wait for the write
    even if their clock is right.
    """
    if (now := options.local_time()) is not None:
        # Beurer's own app gives this reason (capture of a BF720).
        yield encode_current_time(now, adjust_reason=("manual",))


def set_date_time(options: Options) -> Exchange:
    """Set the clock of a device without the Current Time service to the local time."""
    if (now := options.local_time()) is not None:
        yield encode_date_time(now)


PROFILE = Profile(
    name="current_time",
    service="1805",
    characteristics=(
        # Clocks are set, not read: the device's info would show the time of the read indefinitely.
        Characteristic("2a2b", CurrentTime, decode_current_time, Use.CONTROL),
        Characteristic("2a08", DateTime, decode_date_time, Use.CONTROL),
        Characteristic("2a0f", LocalTimeInformation, decode_local_time_information, Use.STATIC),
        Characteristic("2a0e", TimeZone, decode_time_zone, Use.STATIC),
        Characteristic("2a0d", DstOffset, decode_dst_offset, Use.STATIC),
        Characteristic(
            "2a14", ReferenceTimeInformation, decode_reference_time_information, Use.STATIC
        ),
    ),
    opening=Opening("2a2b", set_clock, answers=False, turn=Turn.CLOCK, excused=_DATA_FIELD_IGNORED),
    # A&D's cuffs and scales have their clock in the service of their results.
    anywhere=Opening("2a08", set_date_time, answers=False, turn=Turn.CLOCK, unless="2a2b"),
)
