"""How the control points of sport sensors answer: opcode, request, result, parameter."""

from collections.abc import Callable
from enum import IntEnum

from healthd.simulator.feed import ControlPoint

_SET_CUMULATIVE, _SPEED_CADENCE_RESPONSE = 0x01, 0x10
_CUMULATIVE_SIZE = 4


class Result(IntEnum):
    """How a command ended, in the speed, power and location services alike."""

    SUCCESS = 1
    NOT_SUPPORTED = 2
    INVALID_PARAMETER = 3
    FAILED = 4


def response(opcode: int, request: bytes, result: Result, parameter: bytes = b"") -> bytes:
    """The indication that answers a request.

    Args:
        opcode: of responses, 0x10 or 0x20.
        request: as it was written.
        result: how it ended.
        parameter: what was asked for.
    """
    return bytes([opcode, request[0] if request else 0, result]) + parameter


def speed_cadence_control_point(set_cumulative: Callable[[int], None]) -> ControlPoint:
    """SC Control Point (0x2A55) of a sensor whose total alone can be set.

    Args:
        set_cumulative: sets it; in the units of the measurement.
    """

    def answer(request: bytes) -> bytes:
        if request[:1] != bytes([_SET_CUMULATIVE]):
            return response(_SPEED_CADENCE_RESPONSE, request, Result.NOT_SUPPORTED)
        if len(request) != 1 + _CUMULATIVE_SIZE:
            return response(_SPEED_CADENCE_RESPONSE, request, Result.INVALID_PARAMETER)
        set_cumulative(int.from_bytes(request[1:], "little"))
        return response(_SPEED_CADENCE_RESPONSE, request, Result.SUCCESS)

    return ControlPoint(0x2A55, answer)
