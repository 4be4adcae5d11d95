"""Record Access Control Point (0x2A52): the stored records of glucose sensors and oximeters.

Glucose, Continuous Glucose Monitoring and Pulse Oximeter share it, so it is declared once. On
request, a sensor sends its records as notifications of their own characteristic, and then a
response that they are complete: ``06 00 01 01``, or ``06 00 01 06`` if it has none.
Layout: Glucose Service 1.0 and its successors.
"""

from struct import pack
from typing import Annotated, ClassVar, Literal, get_args

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Fact, Field, Layout, Present
from healthd.profiles.packet.wires import DATE_TIME, U8, U16, U24, U32, word
from healthd.samples import Measurement, quantity

Operation = Literal[
    "report_stored_records",
    "delete_stored_records",
    "abort_operation",
    "report_number_of_stored_records",
    "number_of_stored_records_response",
    "response",
    "combined_report",
    "combined_report_response",
]
Operator = Literal[
    "null",
    "all",
    "less_than_or_equal",
    "greater_than_or_equal",
    "within_range",
    "first",
    "last",
]
Result = Literal[
    "success",
    "opcode_not_supported",
    "invalid_operator",
    "operator_not_supported",
    "invalid_operand",
    "no_records_found",
    "abort_unsuccessful",
    "procedure_not_completed",
    "operand_not_supported",
]

# The names are in the order of their numbers.
_OPERATIONS: dict[int, str] = dict(enumerate(get_args(Operation), start=1))
_OPERATORS: dict[int, str] = dict(enumerate(get_args(Operator)))
_RESULTS: dict[int, str] = dict(enumerate(get_args(Result), start=1))
_REPORT, _DELETE, _ABORT, _COUNT, _COUNTED, _RESPONSE, _COMBINED, _COMBINED_COUNTED = _OPERATIONS
_AT_MOST, _AT_LEAST, _WITHIN = 2, 3, 4
_BY_NUMBER, _BY_TIME = 1, 2


class RecordAccess(Measurement):
    """A request for stored records, or the sensor's response."""

    kind: ClassVar[str] = "record_access_control_point"
    schema_version: ClassVar[int] = 2

    opcode: Annotated[int, quantity("1")]
    name: Operation | None = None
    """Absent for an opcode without a name here."""
    operator: Operator | int
    filter_type: Annotated[int | None, quantity("1")] = None
    """In requests with an operand: 1 selects by number, 2 by the time that the user sees."""
    minimum: Annotated[int | None, quantity("1")] = None
    """A sequence number; for a continuous monitor, minutes since the start of its session."""
    maximum: Annotated[int | None, quantity("1")] = None
    minimum_time: str | None = None
    """In the form of ``device_time``."""
    maximum_time: str | None = None
    number_of_records: Annotated[int | None, quantity("1")] = None
    request_opcode: Annotated[int | None, quantity("1")] = None
    """The request that a response answers."""
    result_code: Annotated[int | None, quantity("1")] = None
    result: Result | int | None = None


def _result(code: int) -> dict[str, object]:
    return {"result_code": code, "result": _RESULTS.get(code, code)}


def _opcode(number: int) -> Present:
    return Present(0xFF, number)


def _operand(operator: int, filter_type: int) -> Present:
    return Present(0xFFFF00, filter_type << 16 | operator << 8)


_NAMES = (
    Fact("opcode", lambda flags: flags & 0xFF),
    *(
        Fact("name", lambda flags: _OPERATIONS[flags & 0xFF], _opcode(number))
        for number in _OPERATIONS
    ),
    Fact("operator", lambda flags: word(_OPERATORS)(flags >> 8 & 0xFF)),
)
# The first bytes determine what follows, like a flags field.
_PLAIN = Layout(
    Field("request_opcode", U8, _opcode(_RESPONSE), required=True),
    Field("", U8, _opcode(_RESPONSE), _result, required=True),
    flags=U16,
    facts=_NAMES,
)
_COUNT_16 = Layout(Field("number_of_records", U16, required=True), flags=U16, facts=_NAMES)
# Newer sensors may count with four bytes. One byte (which some libraries accept) or three bytes are
# not a count: without its highest byte, a number is a different one.
_COUNT_32 = Layout(Field("number_of_records", U32, required=True), flags=U16, facts=_NAMES)
_SELECTION = Layout(
    Field("minimum", U16, _operand(_AT_LEAST, _BY_NUMBER)),
    Field("maximum", U16, _operand(_AT_MOST, _BY_NUMBER)),
    Field("minimum", U16, _operand(_WITHIN, _BY_NUMBER)),
    Field("maximum", U16, _operand(_WITHIN, _BY_NUMBER)),
    Field("minimum_time", DATE_TIME, _operand(_AT_LEAST, _BY_TIME), date_text),
    Field("maximum_time", DATE_TIME, _operand(_AT_MOST, _BY_TIME), date_text),
    Field("minimum_time", DATE_TIME, _operand(_WITHIN, _BY_TIME), date_text),
    Field("maximum_time", DATE_TIME, _operand(_WITHIN, _BY_TIME), date_text),
    flags=U24,
    facts=(*_NAMES, Fact("filter_type", lambda flags: flags >> 16)),
)


def decode_record_access(data: bytes) -> RecordAccess:
    """Decode 2A52: opcode u8, operator u8, then by the opcode.

    The operators 2 to 4 of a request are followed by a filter type u8 and one or two values, the
    opcodes 5 and 8 by a count u16 or u32, the opcode 6 by the request's opcode u8 and a result u8.
    """
    return RecordAccess.of(_layout(data).read(data))


def _layout(data: bytes) -> Layout:
    opcode, operator = (*data[:2], 0, 0)[:2]
    if opcode in (_COUNTED, _COMBINED_COUNTED):
        return _COUNT_16 if len(data) <= _COUNT_16.size(data) else _COUNT_32
    if opcode in (_REPORT, _DELETE, _COUNT, _COMBINED) and _AT_MOST <= operator <= _WITHIN:
        return _SELECTION
    return _PLAIN


ALL = b"\x01"


def by_number(*, minimum: int) -> bytes:
    """Select the records with this sequence number and all greater ones, for `report_records`.

    Raises:
        ValueError: the number is not from 0 to 65535.
    """
    if not 0 <= minimum <= 0xFFFF:
        raise ValueError(f"minimum: expected 0 to 65535, found {minimum}")
    return pack("<BBH", _AT_LEAST, _BY_NUMBER, minimum)


def by_session_time(*, minimum_s: float) -> bytes:
    """Select a continuous monitor's records from this time after its session start onwards.

    Times are rounded down to whole minutes.

    Raises:
        ValueError: the time is not from 0 to 3932100 s.
    """
    if not 0 <= minimum_s <= 0xFFFF * 60:
        raise ValueError(f"minimum_s: expected 0 to 3932100, found {minimum_s}")
    return by_number(minimum=int(minimum_s // 60))


def report_records(records: bytes = ALL) -> bytes:
    """Ask for records.

    Args:
        records: ``ALL``, or the selection that `by_number` or `by_session_time` returns.
    """
    return bytes([_REPORT]) + records


def abort() -> bytes:
    """Abort the running request."""
    return bytes([_ABORT, 0])


RECORD_ACCESS = Characteristic("2a52", RecordAccess, decode_record_access, Use.CONTROL)
