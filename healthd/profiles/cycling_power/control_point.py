"""Cycling Power Control Point (0x2A66): decodes requests and responses, and encodes requests.

Layout: Bluetooth Cycling Power Service 1.1.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

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
from healthd.profiles.common.sensor_location import PLACES, Place, place_number, places
from healthd.profiles.packet.layout import Fact, Field, Layout, Present, Tail
from healthd.profiles.packet.wires import (
    DATE_TIME,
    S16,
    U8,
    U16,
    U32,
    named_moment,
    number,
    scaled,
    word,
    words,
)
from healthd.samples import Measurement, Timestamp, quantity

SET_CUMULATIVE_REVOLUTIONS = 0x01
_UPDATE_LOCATION = 0x02
_SET_CRANK_LENGTH = 0x04
_SET_CHAIN_LENGTH = 0x06
_SET_CHAIN_WEIGHT = 0x08
_SET_SPAN_LENGTH = 0x0A
_MASK_CONTENT = 0x0D
_RESPONSE = 0x20

REQUEST_SUPPORTED_LOCATIONS = b"\x03"
REQUEST_CRANK_LENGTH = b"\x05"
REQUEST_CHAIN_LENGTH = b"\x07"
REQUEST_CHAIN_WEIGHT = b"\x09"
REQUEST_SPAN_LENGTH = b"\x0b"
START_OFFSET_COMPENSATION = b"\x0c"
"""Written to 2A66 while the crank is unloaded, as the maker says: the meter finds its zero."""
REQUEST_SAMPLING_RATE = b"\x0e"
REQUEST_FACTORY_CALIBRATION_DATE = b"\x0f"
START_ENHANCED_OFFSET_COMPENSATION = b"\x10"

_HALF_MM_PER_M = 2000
_MM_PER_M = 1000
_G_PER_KG = 1000

_CONTENT = {
    0: "pedal_power_balance",
    1: "accumulated_torque",
    2: "wheel_revolution_data",
    3: "crank_revolution_data",
    4: "extreme_magnitudes",
    5: "extreme_angles",
    6: "top_dead_spot_angle",
    7: "bottom_dead_spot_angle",
    8: "accumulated_energy",
}

_VENDOR_SPECIFIC = 0xFF


class CyclingPowerControlPoint(Measurement):
    """A request to the power meter, or its response."""

    kind: ClassVar[str] = "cycling_power_control_point"

    opcode: Annotated[int, quantity("1")]
    name: str | None = None
    """``response``, or what is requested; absent for an unknown opcode."""
    request_opcode: Annotated[int | None, quantity("1")] = None
    """In a response: opcode of the request that it answers."""
    result_code: Annotated[int | None, quantity("1")] = None
    result: Result | int | None = None
    cumulative_wheel_revolutions: Annotated[int | None, quantity("{revolutions}")] = None
    location: Place | int | None = None
    supported_locations: list[Place | int] | None = None
    crank_length_m: Annotated[float | None, quantity("m")] = None
    chain_length_m: Annotated[float | None, quantity("m")] = None
    chain_weight_kg: Annotated[float | None, quantity("kg")] = None
    span_length_m: Annotated[float | None, quantity("m")] = None
    offset_raw: Annotated[int | None, quantity("1")] = None
    """In N if the meter measures force, in 1/32 Nm if it measures torque (see its features);
    None if the compensation failed."""
    calibration_error: Literal["incorrect_calibration_position", "vendor_specific"] | int | None = (
        None
    )
    company_id: Annotated[int | None, quantity("1")] = None
    """The company that defines ``vendor_data``: a number assigned by the Bluetooth SIG."""
    vendor_data: str | None = None
    """Hex."""
    masked: list[str] | None = None
    """Fields that the measurement leaves out."""
    sampling_rate_hz: Annotated[int | None, quantity("Hz")] = None
    factory_calibration_date: Timestamp | None = None
    calibrated_at: str | None = None
    """The same as ISO 8601 without a zone; None if a part is unknown."""


def _vendor_data(rest: bytes) -> tuple[str, int]:
    data = rest[1 : 1 + rest[0]] if rest else b""
    return data.hex(), len(rest[:1]) + len(data)


_CRANK = Field("crank_length_m", U16, meaning=scaled(_HALF_MM_PER_M))
_CHAIN = Field("chain_length_m", U16, meaning=scaled(_MM_PER_M))
_WEIGHT = Field("chain_weight_kg", U16, meaning=scaled(_G_PER_KG))
_SPAN = Field("span_length_m", U16, meaning=scaled(_MM_PER_M))
_RATE = Field("sampling_rate_hz", U8)
_DATE = Field("", DATE_TIME, meaning=named_moment("factory_calibration_date", "calibrated_at"))
_OFFSET = Field("offset_raw", S16, meaning=number(-1))
_COMPANY = Field("company_id", U16)

_ERROR_IS_VENDORS = Present(0xFF, _VENDOR_SPECIFIC)
_ERRORS = word({1: "incorrect_calibration_position", _VENDOR_SPECIFIC: "vendor_specific"})

_CONTROL_POINT = ControlPoint(
    {
        SET_CUMULATIVE_REVOLUTIONS: Procedure(
            "set_cumulative_value", request(Field("cumulative_wheel_revolutions", U32))
        ),
        _UPDATE_LOCATION: Procedure(
            "update_sensor_location", request(Field("location", U8, meaning=word(PLACES)))
        ),
        REQUEST_SUPPORTED_LOCATIONS[0]: Procedure(
            "request_supported_sensor_locations",
            answer=response(tail=Tail("supported_locations", places)),
        ),
        _SET_CRANK_LENGTH: Procedure("set_crank_length", request(_CRANK)),
        REQUEST_CRANK_LENGTH[0]: Procedure("request_crank_length", answer=response(_CRANK)),
        _SET_CHAIN_LENGTH: Procedure("set_chain_length", request(_CHAIN)),
        REQUEST_CHAIN_LENGTH[0]: Procedure("request_chain_length", answer=response(_CHAIN)),
        _SET_CHAIN_WEIGHT: Procedure("set_chain_weight", request(_WEIGHT)),
        REQUEST_CHAIN_WEIGHT[0]: Procedure("request_chain_weight", answer=response(_WEIGHT)),
        _SET_SPAN_LENGTH: Procedure("set_span_length", request(_SPAN)),
        REQUEST_SPAN_LENGTH[0]: Procedure("request_span_length", answer=response(_SPAN)),
        START_OFFSET_COMPENSATION[0]: Procedure(
            "start_offset_compensation", answer=response(_OFFSET)
        ),
        _MASK_CONTENT: Procedure(
            "mask_measurement_content", request(Field("masked", U16, meaning=words(_CONTENT)))
        ),
        REQUEST_SAMPLING_RATE[0]: Procedure("request_sampling_rate", answer=response(_RATE)),
        REQUEST_FACTORY_CALIBRATION_DATE[0]: Procedure(
            "request_factory_calibration_date", answer=response(_DATE)
        ),
        START_ENHANCED_OFFSET_COMPENSATION[0]: Procedure(
            "start_enhanced_offset_compensation",
            answer=response(_OFFSET, _COMPANY, tail=Tail("vendor_data", _vendor_data)),
            reason=Layout(
                Field("company_id", U16, _ERROR_IS_VENDORS),
                flags=U8,
                facts=(Fact("calibration_error", _ERRORS),),
                tail=Tail("vendor_data", _vendor_data, _ERROR_IS_VENDORS),
                start=3,
            ),
        ),
    },
    response_opcode=_RESPONSE,
)


def decode_control_point(data: bytes) -> CyclingPowerControlPoint:
    """Decode 2A66: opcode u8, parameter; or 0x20, request opcode u8, result u8, answer."""
    return CyclingPowerControlPoint.of(worded(_CONTROL_POINT.read(data)))


def set_cumulative_wheel_revolutions(*, revolutions: int) -> bytes:
    """Set the wheel's counter; ValueError where it does not fit into 32 bits."""
    return bytes([SET_CUMULATIVE_REVOLUTIONS]) + parameter("revolutions", revolutions, U32)


def update_sensor_location(*, location: str) -> bytes:
    """Say where the meter sits; ValueError where there is no such place."""
    return bytes([_UPDATE_LOCATION, place_number(location)])


def set_crank_length(*, crank_length_m: float) -> bytes:
    """Set it, in steps of 0.5 mm; ValueError outside of 0 to 32.7675 m."""
    value = parameter("crank_length_m", crank_length_m, U16, per_unit=_HALF_MM_PER_M)
    return bytes([_SET_CRANK_LENGTH]) + value


def set_chain_length(*, chain_length_m: float) -> bytes:
    """Set it, in steps of 1 mm; ValueError outside of 0 to 65.535 m."""
    value = parameter("chain_length_m", chain_length_m, U16, per_unit=_MM_PER_M)
    return bytes([_SET_CHAIN_LENGTH]) + value


def set_chain_weight(*, chain_weight_kg: float) -> bytes:
    """Set it, in steps of 1 g; ValueError outside of 0 to 65.535 kg."""
    value = parameter("chain_weight_kg", chain_weight_kg, U16, per_unit=_G_PER_KG)
    return bytes([_SET_CHAIN_WEIGHT]) + value


def set_span_length(*, span_length_m: float) -> bytes:
    """Set it, in steps of 1 mm; ValueError outside of 0 to 65.535 m."""
    value = parameter("span_length_m", span_length_m, U16, per_unit=_MM_PER_M)
    return bytes([_SET_SPAN_LENGTH]) + value


def mask_measurement_content(*, masked: Iterable[str]) -> bytes:
    """Say what the measurement is to leave out; ValueError for a name that is not known."""
    return bytes([_MASK_CONTENT]) + mask("masked", masked, _CONTENT)


POWER_CONTROL_POINT = Characteristic(
    "2a66", CyclingPowerControlPoint, decode_control_point, Use.CONTROL
)
