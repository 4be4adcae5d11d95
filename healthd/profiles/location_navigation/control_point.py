"""LN Control Point (0x2A6B): decodes requests and responses, and encodes requests.

Layout: Bluetooth Location and Navigation Service 1.0, as implemented by the Nordic and Stonestreet
One stacks.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, get_args

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.control_points import (
    ControlPoint,
    Procedure,
    Result,
    mask,
    parameter,
    request,
    response,
    worded,
)
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.packet.layout import Field, Tail
from healthd.profiles.packet.wires import S24, U8, U16, U24, scaled, word, words
from healthd.samples import Measurement, quantity

_SET_CUMULATIVE_VALUE = 1
_MASK_CONTENT = 2
_CONTROL_NAVIGATION = 3
_REQUEST_ROUTE_NAME = 5
_SELECT_ROUTE = 6
_SET_FIX_RATE = 7
_SET_ELEVATION = 8
_RESPONSE = 0x20

REQUEST_NUMBER_OF_ROUTES = b"\x04"

_DM_PER_M = 10
_CM_PER_M = 100

Action = Literal[
    "stop",
    "start_to_first_waypoint",
    "pause",
    "resume",
    "skip_waypoint",
    "select_nearest_waypoint",
]
# Numbered in this order, from 0.
_ACTIONS: dict[int, str] = dict(enumerate(get_args(Action)))

_CONTENT = {
    0: "instantaneous_speed",
    1: "total_distance",
    2: "location",
    3: "elevation",
    4: "heading",
    5: "rolling_time",
    6: "utc_time",
}


class LocationNavigationControlPoint(Measurement):
    """A request to the device, or its response."""

    kind: ClassVar[str] = "location_navigation_control_point"

    opcode: Annotated[int, quantity("1")]
    name: str | None = None
    """``response``, or what is requested; absent for an unknown opcode."""
    request_opcode: Annotated[int | None, quantity("1")] = None
    """In a response: opcode of the request that it answers."""
    result_code: Annotated[int | None, quantity("1")] = None
    result: Result | int | None = None
    total_distance_m: Annotated[float | None, quantity("m", mdc=8454247)] = None
    masked: list[str] | None = None
    """Fields that location and speed leaves out."""
    action: Action | int | None = None
    number_of_routes: Annotated[int | None, quantity("1")] = None
    route_number: Annotated[int | None, quantity("1")] = None
    """Counts from 0."""
    route_name: str | None = None
    fix_rate_s: Annotated[int | None, quantity("s")] = None
    """Time from one position to the next."""
    elevation_m: Annotated[float | None, quantity("m")] = None


def _text(rest: bytes) -> tuple[str, int]:
    return Cursor(rest).text(), len(rest)


_ROUTE = Field("route_number", U16)

_CONTROL_POINT = ControlPoint(
    {
        _SET_CUMULATIVE_VALUE: Procedure(
            "set_cumulative_value",
            request(Field("total_distance_m", U24, meaning=scaled(_DM_PER_M))),
        ),
        _MASK_CONTENT: Procedure(
            "mask_location_and_speed_content",
            request(Field("masked", U16, meaning=words(_CONTENT))),
        ),
        _CONTROL_NAVIGATION: Procedure(
            "navigation_control", request(Field("action", U8, meaning=word(_ACTIONS)))
        ),
        REQUEST_NUMBER_OF_ROUTES[0]: Procedure(
            "request_number_of_routes", answer=response(Field("number_of_routes", U16))
        ),
        _REQUEST_ROUTE_NAME: Procedure(
            "request_name_of_route", request(_ROUTE), response(tail=Tail("route_name", _text))
        ),
        _SELECT_ROUTE: Procedure("select_route", request(_ROUTE)),
        _SET_FIX_RATE: Procedure("set_fix_rate", request(Field("fix_rate_s", U8))),
        _SET_ELEVATION: Procedure(
            "set_elevation", request(Field("elevation_m", S24, meaning=scaled(_CM_PER_M)))
        ),
    },
    response_opcode=_RESPONSE,
)


def decode_control_point(data: bytes) -> LocationNavigationControlPoint:
    """Decode 2A6B: opcode u8, parameter; or 0x20, request opcode u8, result u8, answer."""
    return LocationNavigationControlPoint.of(worded(_CONTROL_POINT.read(data)))


def set_total_distance(*, total_distance_m: float) -> bytes:
    """Set the counter, in steps of 0.1 m; ValueError outside of 0 to 1677721.5 m."""
    value = parameter("total_distance_m", total_distance_m, U24, per_unit=_DM_PER_M)
    return bytes([_SET_CUMULATIVE_VALUE]) + value


def mask_content(*, masked: Iterable[str]) -> bytes:
    """Say what location and speed is to leave out; ValueError for a name that is not known."""
    return bytes([_MASK_CONTENT]) + mask("masked", masked, _CONTENT)


def control_navigation(*, action: str) -> bytes:
    """Start, stop or lead the navigation; ValueError for an action that is not known."""
    numbers = {name: number for number, name in _ACTIONS.items()}
    if action not in numbers:
        raise ValueError(f"action is {action!r}, expected one of {', '.join(numbers)}")
    return bytes([_CONTROL_NAVIGATION, numbers[action]])


def request_route_name(*, route_number: int) -> bytes:
    """Ask for the name of a route, counted from 0; ValueError outside of 0 to 65535."""
    return bytes([_REQUEST_ROUTE_NAME]) + parameter("route_number", route_number, U16)


def select_route(*, route_number: int) -> bytes:
    """Navigate along a route, counted from 0; ValueError outside of 0 to 65535."""
    return bytes([_SELECT_ROUTE]) + parameter("route_number", route_number, U16)


def set_fix_rate(*, fix_rate_s: int) -> bytes:
    """Set the time from one position to the next; ValueError outside of 0 to 255 s."""
    return bytes([_SET_FIX_RATE]) + parameter("fix_rate_s", fix_rate_s, U8)


def set_elevation(*, elevation_m: float) -> bytes:
    """Set it, in steps of 0.01 m; ValueError outside of -83886.08 to 83886.07 m."""
    value = parameter("elevation_m", elevation_m, S24, per_unit=_CM_PER_M)
    return bytes([_SET_ELEVATION]) + value


NAVIGATION_CONTROL_POINT = Characteristic(
    "2a6b", LocationNavigationControlPoint, decode_control_point, Use.CONTROL
)
