"""User Control Point (2A9F): decodes requests and responses, and encodes the consent.

Layout: User Data Service 1.1, checked against Beurer scales. A device with several users sends
nothing about any user before a user has given consent with the code registered for that user.
"""

from typing import Annotated, ClassVar, Literal

from healthd.profiles.packet.layout import Fact, Field, Layout, Present
from healthd.profiles.packet.wires import U8, U16, U24, number
from healthd.samples import Measurement, quantity

# Four decimal digits: scales display the code, and users type it in.
_LAST_CONSENT_CODE = 9999
_UNKNOWN_USER = 0xFF

Request = Literal[
    "register_new_user", "consent", "delete_user_data", "list_all_users", "delete_users"
]
Result = Literal[
    "success",
    "opcode_not_supported",
    "invalid_parameter",
    "operation_failed",
    "user_not_authorized",
]

_REGISTER, _CONSENT, _DELETE_DATA, _LIST, _DELETE_USERS = 1, 2, 3, 4, 5
_RESPONSE_OPCODE = 0x20
_RESPONSE_HEAD = 3
_SUCCESS = 1

_REQUESTS: dict[int, Request] = {
    _REGISTER: "register_new_user",
    _CONSENT: "consent",
    _DELETE_DATA: "delete_user_data",
    _LIST: "list_all_users",
    _DELETE_USERS: "delete_users",
}
_RESULTS: dict[int, Result] = {
    _SUCCESS: "success",
    2: "opcode_not_supported",
    3: "invalid_parameter",
    4: "operation_failed",
    5: "user_not_authorized",
}


class UserControlPoint(Measurement):
    """A request to the device, or its response."""

    kind: ClassVar[str] = "user_control_point"

    opcode: Annotated[int, quantity("1")]
    name: Request | Literal["response"] | None = None
    """Absent for an opcode without a name here."""
    user_index: Annotated[int | None, quantity("1")] = None
    """The user of a request, or the one registered or deleted; ``null``: all users, or unknown."""
    consent_code: Annotated[int | None, quantity("1")] = None
    request_opcode: Annotated[int | None, quantity("1")] = None
    result_code: Annotated[int | None, quantity("1")] = None
    result: Result | int | None = None
    """A number without a name here stays a number."""
    number_of_users: Annotated[int | None, quantity("1")] = None


def _opcode(opcode: int) -> Present:
    return Present(0xFF, opcode)


def _success_of(request: int) -> Present:
    return Present(0xFFFFFF, _RESPONSE_OPCODE | request << 8 | _SUCCESS << 16)


# The opcode announces the parameters, like flags; in a response, its first three bytes do.
_REQUEST = Layout(
    Field("user_index", U8, _opcode(_CONSENT), number(_UNKNOWN_USER), required=True),
    Field("user_index", U8, _opcode(_DELETE_USERS), number(_UNKNOWN_USER), required=True),
    Field("consent_code", U16, _opcode(_REGISTER), required=True),
    Field("consent_code", U16, _opcode(_CONSENT), required=True),
    flags=U8,
    facts=(
        Fact("opcode", lambda opcode: opcode),
        *(Fact("name", _REQUESTS.get, _opcode(opcode)) for opcode in _REQUESTS),
    ),
)


def _response(*parameters: Field) -> Layout:
    return Layout(
        *parameters,
        flags=U24,
        facts=(
            Fact("opcode", lambda _: _RESPONSE_OPCODE),
            Fact("name", lambda _: "response"),
            Fact("request_opcode", lambda head: head >> 8 & 0xFF),
            Fact("result_code", lambda head: head >> 16),
            Fact("result", lambda head: _RESULTS.get(head >> 16, head >> 16)),
        ),
    )


def _user_of(request: int) -> Field:
    return Field("user_index", U8, _success_of(request), number(_UNKNOWN_USER))


_PARAMETERS = (_user_of(_REGISTER), Field("number_of_users", U8, _success_of(_LIST)))
_RESPONSE = _response(*_PARAMETERS)
# Devices may leave out the deleted user: such a response is not cut short.
_RESPONSE_WITH_MORE = _response(*_PARAMETERS, _user_of(_DELETE_USERS))


def _layout(data: bytes) -> Layout:
    if data[:1] != bytes((_RESPONSE_OPCODE,)):
        return _REQUEST
    return _RESPONSE if len(data) <= _RESPONSE_HEAD else _RESPONSE_WITH_MORE


def decode_control_point(data: bytes) -> UserControlPoint:
    """Decode 2A9F: opcode u8 and parameters; or 0x20, request u8, result u8 and parameter.

    Requests: 1 register (code u16), 2 consent (user u8, code u16), 3 delete data, 4 list users,
    5 delete users (user u8). Parameters of a response: 1 user u8, 4 number of users u8, 5 user u8.
    """
    return UserControlPoint.of(_layout(data).read(data))


def encode_consent(*, user_index: int, consent_code: int) -> bytes:
    """Return the request that gives a user's consent and selects this user for the link.

    Args:
        user_index: 0 to 254, as assigned by the device when the user was registered.
        consent_code: 0 to 9999.

    Raises:
        ValueError: out of range.
    """
    return bytes((_CONSENT, _index(user_index))) + _code(consent_code)


def _index(user_index: int) -> int:
    if not 0 <= user_index < _UNKNOWN_USER:
        raise ValueError(f"user_index: expected 0 to {_UNKNOWN_USER - 1}, found {user_index}")
    return user_index


def _code(consent_code: int) -> bytes:
    if not 0 <= consent_code <= _LAST_CONSENT_CODE:
        raise ValueError(f"consent_code: expected 0 to {_LAST_CONSENT_CODE}, found {consent_code}")
    return consent_code.to_bytes(2, "little")
