"""Responses of the control points of sport sensors: opcode, request, result, parameter."""

from collections.abc import Callable
from enum import IntEnum

from healthd.simulator.feed import ControlPoint

_SET_CUMULATIVE, _SPEED_CADENCE_RESPONSE = 0x01, 0x10
_CUMULATIVE_SIZE = 4


class Result(IntEnum):
    """The result of a command, the same in the speed, power and location services."""

    SUCCESS = 1
    NOT_SUPPORTED = 2
    INVALID_PARAMETER = 3
    FAILED = 4


def response(opcode: int, request: bytes, result: Result, parameter: bytes = b"") -> bytes:
    """Return the indication that responds to a request.

    Args:
        opcode: The opcode of responses, 0x10 or 0x20.
        request: The request as it was written.
        result: The result of the request.
        parameter: The requested value, if any.
    """
    return bytes([opcode, request[0] if request else 0, result]) + parameter


def speed_cadence_control_point(set_cumulative: Callable[[int], None]) -> ControlPoint:
    """Return the SC Control Point (0x2A55) of a sensor that supports setting the total only.

    Args:
        set_cumulative: Sets the total, in the unit of the measurement.
    """

    def answer(request: bytes) -> bytes:
        if request[:1] != bytes([_SET_CUMULATIVE]):
            return response(_SPEED_CADENCE_RESPONSE, request, Result.NOT_SUPPORTED)
        if len(request) != 1 + _CUMULATIVE_SIZE:
            return response(_SPEED_CADENCE_RESPONSE, request, Result.INVALID_PARAMETER)
        set_cumulative(int.from_bytes(request[1:], "little"))
        return response(_SPEED_CADENCE_RESPONSE, request, Result.SUCCESS)

    return ControlPoint(0x2A55, answer)
