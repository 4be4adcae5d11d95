"""User Data service (0x181C). Layouts: GATT Specification Supplement, User Data Service 1.1.

healthd reads none of these characteristics: most need the user's consent, and a date of birth must
not be published in a topic.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.dialogue import Exchange, ExchangeRefused, Opening, Turn
from healthd.profiles.options import Options
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.packet.dates import day_text
from healthd.profiles.packet.layout import Field, Layout
from healthd.profiles.packet.wires import U8, U16, U32, Meaning, Wire, number, scaled, word
from healthd.profiles.profile import Profile
from healthd.profiles.user_data.control_point import (
    UserControlPoint,
    decode_control_point,
    encode_consent,
)
from healthd.samples import Measurement, quantity

Gender = Literal["male", "female", "unspecified"]

_GENDERS: dict[int, Gender] = {0: "male", 1: "female", 2: "unspecified"}
_UNKNOWN_USER = 0xFF


class UserData(Measurement):
    """The device's data about the user who gave consent; each characteristic sets one field."""

    kind: ClassVar[str] = "user_data"
    schema_version: ClassVar[int] = 2

    first_name: str | None = None
    last_name: str | None = None
    gender: Gender | int | None = None
    """A number without a name here stays a number."""
    age_years: Annotated[int | None, quantity("a")] = None
    date_of_birth: str | None = None
    """ISO 8601; unknown digits are ``X``; ``null`` if no part is known."""
    height_m: Annotated[float | None, quantity("m", mdc=188740, loinc="8302-2")] = None
    weight_kg: Annotated[float | None, quantity("kg", mdc=188736, loinc="29463-7")] = None
    user_index: Annotated[int | None, quantity("1")] = None
    """``null`` means an unknown user: no user has given consent on this link."""
    change_increment: Annotated[int | None, quantity("1")] = None
    """Increased by each client that changes the data, so that other clients notice."""


def _single(field: str, wire: Wire, meaning: Meaning | None = None) -> Layout:
    return Layout(Field(field, wire, meaning=meaning, required=True))


_GENDER = _single("gender", U8, word(_GENDERS))
_AGE = _single("age_years", U8)
_HEIGHT = _single("height_m", U16, scaled(100))
_WEIGHT = _single("weight_kg", U16, scaled(200))
_USER_INDEX = _single("user_index", U8, number(_UNKNOWN_USER))
_CHANGE_INCREMENT = _single("change_increment", U32)


def name_decoder(field: str) -> Callable[[bytes], UserData]:
    """Return a decoder of UTF-8 text up to a NUL that sets ``field``, to None if it is empty."""

    def decode(data: bytes) -> UserData:
        if not data:
            raise DecodeError("offset 0: expected text, found 0 bytes")
        fields: dict[str, Any] = {field: Cursor(data).text() or None}
        return UserData.of(fields)

    return decode


def value_decoder(layout: Layout) -> Callable[[bytes], UserData]:
    """Return a decoder of the single number that the layout describes."""

    def decode(data: bytes) -> UserData:
        return UserData.of(layout.read(data))

    return decode


def decode_date_of_birth(data: bytes) -> UserData:
    """Decode 2A85: year u16, month u8, day u8; 0 means unknown."""
    cursor = Cursor(data)
    date = day_text(cursor.u16(), cursor.u8(), cursor.u8())
    return UserData.of(cursor.finish({"date_of_birth": date}))


def _not_read(uuid: str, decode: Callable[[bytes], UserData]) -> Characteristic:
    return Characteristic(uuid, UserData, decode, Use.CONTROL)


def give_consent(options: Options) -> Exchange:
    """Give the consent of the user whose results are wanted, if the settings name a user.

    Raises:
        ExchangeRefused: the device does not accept it.
    """
    if (consent := options.consent) is None:
        return
    request = encode_consent(user_index=consent.user, consent_code=consent.code)
    answer = decode_control_point((yield request))
    if answer.result != "success":
        raise ExchangeRefused(
            f"user {consent.user}: expected success, found {answer.result}; "
            "check user and consent_file"
        )


PROFILE = Profile(
    name="user_data",
    service="181c",
    characteristics=(
        Characteristic("2a9f", UserControlPoint, decode_control_point, Use.CONTROL),
        _not_read("2a8a", name_decoder("first_name")),
        _not_read("2a90", name_decoder("last_name")),
        _not_read("2a8c", value_decoder(_GENDER)),
        _not_read("2a80", value_decoder(_AGE)),
        _not_read("2a85", decode_date_of_birth),
        _not_read("2a8e", value_decoder(_HEIGHT)),
        _not_read("2a98", value_decoder(_WEIGHT)),
        _not_read("2a9a", value_decoder(_USER_INDEX)),
        _not_read("2a99", value_decoder(_CHANGE_INCREMENT)),
    ),
    opening=Opening("2a9f", give_consent, turn=Turn.USER),
)
