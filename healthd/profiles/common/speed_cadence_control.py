"""SC Control Point (0x2A55), shared by Cycling and Running Speed and Cadence.

Layout: Bluetooth Cycling Speed and Cadence Service 1.0, Running Speed and Cadence Service 1.0.
"""

from typing import Annotated, ClassVar, Literal

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.control_points import (
    ControlPoint,
    Procedure,
    request,
    response,
)
from healthd.profiles.common.sensor_location import PLACES, Place, places
from healthd.profiles.packet.layout import Field, Tail
from healthd.profiles.packet.wires import U8, U32, word
from healthd.samples import Measurement, quantity

SET_CUMULATIVE_VALUE = 1
_START_SENSOR_CALIBRATION = 2
_UPDATE_LOCATION = 3
_REQUEST_SUPPORTED_LOCATIONS = 4
_RESPONSE = 0x10


class SpeedCadenceControlPoint(Measurement):
    """A request to the sensor, or its response."""

    kind: ClassVar[str] = "speed_cadence_control_point"

    opcode: Annotated[int, quantity("1")]
    name: (
        Literal[
            "set_cumulative_value",
            "start_sensor_calibration",
            "update_sensor_location",
            "request_supported_sensor_locations",
        ]
        | None
    ) = None
    """The name of a request; absent for an opcode without a name here."""
    cumulative_value: Annotated[int | None, quantity("1")] = None
    """For a cycling sensor: wheel revolutions; for a running sensor: 0.1 m."""
    location: Place | int | None = None
    request_opcode: Annotated[int | None, quantity("1")] = None
    """The request that a response answers."""
    result_code: Annotated[int | None, quantity("1")] = None
    """1 success, 2 opcode not supported, 3 invalid parameter, 4 operation failed."""
    supported_locations: list[Place | int] | None = None


_CONTROL_POINT = ControlPoint(
    {
        SET_CUMULATIVE_VALUE: Procedure(
            "set_cumulative_value", request(Field("cumulative_value", U32))
        ),
        _START_SENSOR_CALIBRATION: Procedure("start_sensor_calibration"),
        _UPDATE_LOCATION: Procedure(
            "update_sensor_location", request(Field("location", U8, meaning=word(PLACES)))
        ),
        _REQUEST_SUPPORTED_LOCATIONS: Procedure(
            "request_supported_sensor_locations",
            answer=response(tail=Tail("supported_locations", places)),
        ),
    },
    response_opcode=_RESPONSE,
)


def decode_control_point(data: bytes) -> SpeedCadenceControlPoint:
    """Decode 2A55: opcode u8 and parameter, or 0x10, request opcode u8, result u8 and answer."""
    return SpeedCadenceControlPoint.of(_CONTROL_POINT.read(data))


SC_CONTROL_POINT = Characteristic(
    "2a55", SpeedCadenceControlPoint, decode_control_point, Use.CONTROL
)
