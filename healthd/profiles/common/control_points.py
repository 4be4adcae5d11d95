"""Control points: requests with an opcode, and one response that repeats it.

Cycling, running and location services share this format. They differ in the opcodes and their
parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from healthd.profiles.packet.layout import Field, Layout, Tail
from healthd.profiles.packet.wires import U8

Result = Literal["success", "opcode_not_supported", "invalid_parameter", "operation_failed"]

_RESULTS: dict[int, Result] = {
    1: "success",
    2: "opcode_not_supported",
    3: "invalid_parameter",
    4: "operation_failed",
}

# Where parameters start: after the opcode; after response opcode, request opcode and result.
_REQUEST, _RESPONSE = 1, 3

_SUCCESS, _FAILED = 1, 4


def request(*fields: Field) -> Layout:
    """Return the layout of a request's parameters."""
    return Layout(*fields, start=_REQUEST)


def response(*fields: Field, tail: Tail | None = None) -> Layout:
    """Return the layout of what follows a response's result."""
    return Layout(*fields, tail=tail, start=_RESPONSE)


_NO_PARAMETER = request()
_NO_ANSWER = response()


@dataclass(frozen=True, slots=True)
class Procedure:
    """What one opcode requests.

    Attributes:
        name: the name in the decoded message.
        parameter: the layout of the request's parameters.
        answer: the layout of what follows the result of a successful response.
        reason: the same for a response with the result "operation failed".
    """

    name: str
    parameter: Layout = _NO_PARAMETER
    answer: Layout = _NO_ANSWER
    reason: Layout = _NO_ANSWER


class ControlPoint:
    """Reads the messages of one control point, both ways."""

    def __init__(self, procedures: Mapping[int, Procedure], *, response_opcode: int) -> None:
        """Describe the control point.

        Args:
            procedures: the procedures by their opcodes.
            response_opcode: the first byte of a response.
        """
        self._procedures = procedures
        self._response_opcode = bytes([response_opcode])

    def read(self, data: bytes) -> dict[str, Any]:
        """Return a message's fields.

        A request has ``opcode``, ``name`` and its parameters. A response has ``opcode``,
        ``request_opcode``, ``result_code`` and its answer.

        Raises:
            DecodeError: the message ends before its opcode, or a response before its result.
        """
        if data[:1] == self._response_opcode:
            return self._read_response(data)
        # For an empty message the layout raises an error that names the missing opcode.
        fields: dict[str, Any] = {"opcode": data[0]} if data else _OPCODE.read(data)
        procedure = self._procedures.get(fields["opcode"], _UNKNOWN)
        if procedure.name:
            fields["name"] = procedure.name
        return fields | procedure.parameter.read(data)

    def _read_response(self, data: bytes) -> dict[str, Any]:
        if len(data) < _RESPONSE:
            # Here, too, the layout raises an error.
            return _RESULT.read(data)
        fields: dict[str, Any] = dict(zip(_HEAD, data, strict=False))
        procedure = self._procedures.get(fields["request_opcode"], _UNKNOWN)
        rest = _after_result(procedure, fields["result_code"], len(data) > _RESPONSE)
        return fields | rest.read(data)


def add_names(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a message's fields; those of a response with ``name`` and ``result`` as words."""
    if "result_code" in fields:
        fields["name"] = "response"
        fields["result"] = _RESULTS.get(fields["result_code"], fields["result_code"])
    return fields


_UNKNOWN = Procedure("")
_HEAD = ("opcode", "request_opcode", "result_code")
_OPCODE = Layout(Field(_HEAD[0], U8, required=True))
_RESULT = Layout(*(Field(key, U8, required=True) for key in _HEAD))


def _after_result(procedure: Procedure, result: int, has_more: bool) -> Layout:
    if result == _SUCCESS:
        return procedure.answer
    # A failure may be sent without a reason.
    return procedure.reason if result == _FAILED and has_more else _NO_ANSWER
