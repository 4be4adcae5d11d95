"""How the control points of sport sensors answer: opcode, request, result, parameter."""

from enum import IntEnum


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
