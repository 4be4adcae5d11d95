"""LN Control Point (0x2A6B): requests and responses.

Layout: Bluetooth Location and Navigation Service 1.0, as implemented by the Nordic and Stonestreet
One stacks.
"""

from typing import Annotated, ClassVar, Literal, get_args

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.control_points import (
    ControlPoint,
    Procedure,
    Result,
    add_names,
    request,
    response,
)
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.packet.layout import Field, Tail
from healthd.profiles.packet.wires import S24, U8, U16, U24, scaled, word, words
from healthd.samples import Measurement, quantity

_SET_CUMULATIVE_VALUE = 1
_MASK_CONTENT = 2
_CONTROL_NAVIGATION = 3
_REQUEST_NUMBER_OF_ROUTES = 4
_REQUEST_ROUTE_NAME = 5
_SELECT_ROUTE = 6
_SET_FIX_RATE = 7
_SET_ELEVATION = 8
_RESPONSE = 0x20

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
        _REQUEST_NUMBER_OF_ROUTES: Procedure(
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
    """2A6B: opcode u8 and its parameter, or 0x20, request opcode u8, result u8 and an answer."""
    return LocationNavigationControlPoint.of(add_names(_CONTROL_POINT.read(data)))


NAVIGATION_CONTROL_POINT = Characteristic(
    "2a6b", LocationNavigationControlPoint, decode_control_point, Use.CONTROL
)
