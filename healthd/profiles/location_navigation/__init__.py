"""Location and Navigation service (0x1819).

Layouts: Bluetooth Location and Navigation Service 1.0 and the GATT Specification Supplement. The
control point is in `control_point`.
"""

from typing import Annotated, ClassVar, Literal, get_args

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.location_navigation.control_point import NAVIGATION_CONTROL_POINT
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Fact, Field, Layout, bit
from healthd.profiles.packet.wires import (
    DATE_TIME,
    S24,
    S32,
    U8,
    U16,
    U24,
    U32,
    Meaning,
    scaled,
    words,
)
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, quantity

# The values of each one- or two-bit field, in order.
PositionStatus = Literal["no_position", "position_ok", "estimated_position", "last_known_position"]
ElevationSource = Literal["positioning", "barometer", "database", "other"]
HeadingSource = Literal["movement", "compass"]

_POSITION_STATUS: tuple[PositionStatus, ...] = get_args(PositionStatus)
_ELEVATION_SOURCES: tuple[ElevationSource, ...] = get_args(ElevationSource)
_HEADING_SOURCES: tuple[HeadingSource, ...] = get_args(HeadingSource)

_HUNDREDTHS = scaled(100)
_TENTHS = scaled(10)
# 1e-7 degrees.
_ANGLE = scaled(10_000_000)
# Dilution of precision is in steps of 0.2.
_DILUTION = scaled(5)


class LocationAndSpeed(Measurement):
    """Position and speed of the device."""

    kind: ClassVar[str] = "location_and_speed"
    schema_version: ClassVar[int] = 2

    speed_mps: Annotated[float | None, quantity("m/s", mdc=8454254)] = None
    total_distance_m: Annotated[float | None, quantity("m", mdc=8454247)] = None
    """A counter."""
    latitude_deg: Annotated[float | None, quantity("deg")] = None
    longitude_deg: Annotated[float | None, quantity("deg")] = None
    elevation_m: Annotated[float | None, quantity("m")] = None
    heading_deg: Annotated[float | None, quantity("deg")] = None
    rolling_time_s: Annotated[int | None, quantity("s")] = None
    """A counter of seconds that wraps at 256."""
    device_time: str | None = None
    """UTC by the device's clock: ISO 8601 without a zone, ``X`` for the digits of a part that the
    device does not know; ``null`` if it knows none."""
    position_status: PositionStatus
    speed_distance_3d: bool
    """Whether speed and distance include vertical movement."""
    elevation_source: ElevationSource
    heading_source: HeadingSource


class Navigation(Measurement):
    """Directions to the next waypoint or the destination."""

    kind: ClassVar[str] = "navigation"
    schema_version: ClassVar[int] = 2

    bearing_deg: Annotated[float, quantity("deg")]
    """Direction of the waypoint or destination."""
    heading_deg: Annotated[float, quantity("deg")]
    """Direction in which the device moves or points."""
    remaining_distance_m: Annotated[float | None, quantity("m")] = None
    remaining_vertical_distance_m: Annotated[float | None, quantity("m")] = None
    arrival_time: str | None = None
    """Estimated time of arrival, as ISO 8601 without a zone; unknown digits are ``X``."""
    position_status: PositionStatus
    heading_source: HeadingSource
    indicator: Literal["to_waypoint", "to_destination"]
    waypoint_reached: bool
    destination_reached: bool


class PositionQuality(Measurement):
    """How reliable the position is."""

    kind: ClassVar[str] = "position_quality"

    number_of_beacons_in_solution: Annotated[int | None, quantity("1")] = None
    """Beacons, mostly satellites, that the position is computed from."""
    number_of_beacons_in_view: Annotated[int | None, quantity("1")] = None
    time_to_first_fix_s: Annotated[float | None, quantity("s")] = None
    ehpe_m: Annotated[float | None, quantity("m")] = None
    """Estimated horizontal position error."""
    evpe_m: Annotated[float | None, quantity("m")] = None
    """Estimated vertical position error."""
    hdop: Annotated[float | None, quantity("1")] = None
    """Horizontal dilution of precision."""
    vdop: Annotated[float | None, quantity("1")] = None
    """Vertical dilution of precision."""
    position_status: PositionStatus


class LocationNavigationFeature(Measurement):
    """What the device can do."""

    kind: ClassVar[str] = "location_navigation_feature"

    features: list[str]


def _position_status(shift: int) -> Fact:
    return Fact("position_status", lambda flags: _POSITION_STATUS[flags >> shift & 3])


def _heading_source(number: int) -> Fact:
    return Fact("heading_source", lambda flags: _HEADING_SOURCES[flags >> number & 1])


def _is_set(number: int) -> Meaning:
    return lambda flags: bool(flags >> number & 1)


_LOCATION = Layout(
    Field("speed_mps", U16, bit(0), _HUNDREDTHS),
    Field("total_distance_m", U24, bit(1), _TENTHS),
    Field("latitude_deg", S32, bit(2), _ANGLE),
    Field("longitude_deg", S32, bit(2), _ANGLE),
    Field("elevation_m", S24, bit(3), _HUNDREDTHS),
    Field("heading_deg", U16, bit(4), _HUNDREDTHS),
    Field("rolling_time_s", U8, bit(5)),
    Field("device_time", DATE_TIME, bit(6), date_text),
    flags=U16,
    facts=(
        _position_status(7),
        Fact("speed_distance_3d", _is_set(9)),
        Fact("elevation_source", lambda flags: _ELEVATION_SOURCES[flags >> 10 & 3]),
        _heading_source(12),
    ),
)

_NAVIGATION = Layout(
    Field("bearing_deg", U16, meaning=_HUNDREDTHS, required=True),
    Field("heading_deg", U16, meaning=_HUNDREDTHS, required=True),
    Field("remaining_distance_m", U24, bit(0), _TENTHS),
    Field("remaining_vertical_distance_m", S24, bit(1), _HUNDREDTHS),
    Field("arrival_time", DATE_TIME, bit(2), date_text),
    flags=U16,
    facts=(
        _position_status(3),
        _heading_source(5),
        Fact("indicator", lambda flags: "to_destination" if flags & 0x40 else "to_waypoint"),
        Fact("waypoint_reached", _is_set(7)),
        Fact("destination_reached", _is_set(8)),
    ),
)

_QUALITY = Layout(
    Field("number_of_beacons_in_solution", U8, bit(0)),
    Field("number_of_beacons_in_view", U8, bit(1)),
    Field("time_to_first_fix_s", U16, bit(2), _TENTHS),
    Field("ehpe_m", U32, bit(3), _HUNDREDTHS),
    Field("evpe_m", U32, bit(4), _HUNDREDTHS),
    Field("hdop", U8, bit(5), _DILUTION),
    Field("vdop", U8, bit(6), _DILUTION),
    flags=U16,
    facts=(_position_status(7),),
)

_FEATURES = (
    "instantaneous_speed",
    "total_distance",
    "location",
    "elevation",
    "heading",
    "rolling_time",
    "utc_time",
    "remaining_distance",
    "remaining_vertical_distance",
    "estimated_time_of_arrival",
    "number_of_beacons_in_solution",
    "number_of_beacons_in_view",
    "time_to_first_fix",
    "estimated_horizontal_position_error",
    "estimated_vertical_position_error",
    "horizontal_dilution_of_precision",
    "vertical_dilution_of_precision",
    "location_and_speed_content_masking",
    "fix_rate_setting",
    "elevation_setting",
    "position_status",
)

_FEATURE = Layout(Field("features", U32, meaning=words(dict(enumerate(_FEATURES))), required=True))


def decode_location(data: bytes) -> LocationAndSpeed:
    """Decode 2A67: flags u16, then the announced speed, distance, position, heading and time."""
    return LocationAndSpeed.of(_LOCATION.read(data))


def decode_navigation(data: bytes) -> Navigation:
    """Decode 2A68: flags u16, bearing u16, heading u16, [distance u24, vertical s24, arrival]."""
    return Navigation.of(_NAVIGATION.read(data))


def decode_quality(data: bytes) -> PositionQuality:
    """Decode 2A69: flags u16, then the announced beacons, time, errors and dilutions."""
    return PositionQuality.of(_QUALITY.read(data))


def decode_feature(data: bytes) -> LocationNavigationFeature:
    """Decode 2A6A: bits u32."""
    return LocationNavigationFeature.of(_FEATURE.read(data))


PROFILE = Profile(
    name="location_navigation",
    service="1819",
    characteristics=(
        # No silence counts as a stall: a receiver may send nothing while it has no fix.
        Characteristic("2a67", LocationAndSpeed, decode_location, Use.STREAM),
        Characteristic("2a68", Navigation, decode_navigation, Use.STREAM, accompanies=True),
        Characteristic("2a69", PositionQuality, decode_quality, Use.STATUS),
        Characteristic("2a6a", LocationNavigationFeature, decode_feature, Use.STATIC),
        NAVIGATION_CONTROL_POINT,
    ),
)
