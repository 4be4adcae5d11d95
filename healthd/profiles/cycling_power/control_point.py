"""Cycling Power Control Point (0x2A66): requests and responses.

Layout: Bluetooth Cycling Power Service 1.1.
"""

from typing import Annotated, ClassVar, Literal

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.control_points import (
    ControlPoint,
    Procedure,
    Result,
    add_names,
    request,
    response,
)
from healthd.profiles.common.sensor_location import PLACES, Place, places
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Fact, Field, Layout, Present, Tail
from healthd.profiles.packet.wires import (
    DATE_TIME,
    S16,
    U8,
    U16,
    U32,
    number,
    scaled,
    word,
    words,
)
from healthd.samples import Measurement, quantity

SET_CUMULATIVE_REVOLUTIONS = 0x01
_UPDATE_LOCATION = 0x02
_REQUEST_SUPPORTED_LOCATIONS = 0x03
_SET_CRANK_LENGTH = 0x04
_REQUEST_CRANK_LENGTH = 0x05
_SET_CHAIN_LENGTH = 0x06
_REQUEST_CHAIN_LENGTH = 0x07
_SET_CHAIN_WEIGHT = 0x08
_REQUEST_CHAIN_WEIGHT = 0x09
_SET_SPAN_LENGTH = 0x0A
_REQUEST_SPAN_LENGTH = 0x0B
_START_OFFSET_COMPENSATION = 0x0C
_MASK_CONTENT = 0x0D
_REQUEST_SAMPLING_RATE = 0x0E
_REQUEST_FACTORY_CALIBRATION_DATE = 0x0F
_START_ENHANCED_OFFSET_COMPENSATION = 0x10
_RESPONSE = 0x20

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
    schema_version: ClassVar[int] = 2

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
    ``null`` if the compensation failed."""
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
    calibrated_at: str | None = None
    """When it was calibrated in the factory: ISO 8601 without a zone; unknown digits are ``X``."""


def _vendor_data(rest: bytes) -> tuple[str, int]:
    data = rest[1 : 1 + rest[0]] if rest else b""
    return data.hex(), len(rest[:1]) + len(data)


_CRANK = Field("crank_length_m", U16, meaning=scaled(_HALF_MM_PER_M))
_CHAIN = Field("chain_length_m", U16, meaning=scaled(_MM_PER_M))
_WEIGHT = Field("chain_weight_kg", U16, meaning=scaled(_G_PER_KG))
_SPAN = Field("span_length_m", U16, meaning=scaled(_MM_PER_M))
_RATE = Field("sampling_rate_hz", U8)
_DATE = Field("calibrated_at", DATE_TIME, meaning=date_text)
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
        _REQUEST_SUPPORTED_LOCATIONS: Procedure(
            "request_supported_sensor_locations",
            answer=response(tail=Tail("supported_locations", places)),
        ),
        _SET_CRANK_LENGTH: Procedure("set_crank_length", request(_CRANK)),
        _REQUEST_CRANK_LENGTH: Procedure("request_crank_length", answer=response(_CRANK)),
        _SET_CHAIN_LENGTH: Procedure("set_chain_length", request(_CHAIN)),
        _REQUEST_CHAIN_LENGTH: Procedure("request_chain_length", answer=response(_CHAIN)),
        _SET_CHAIN_WEIGHT: Procedure("set_chain_weight", request(_WEIGHT)),
        _REQUEST_CHAIN_WEIGHT: Procedure("request_chain_weight", answer=response(_WEIGHT)),
        _SET_SPAN_LENGTH: Procedure("set_span_length", request(_SPAN)),
        _REQUEST_SPAN_LENGTH: Procedure("request_span_length", answer=response(_SPAN)),
        _START_OFFSET_COMPENSATION: Procedure(
            "start_offset_compensation", answer=response(_OFFSET)
        ),
        _MASK_CONTENT: Procedure(
            "mask_measurement_content", request(Field("masked", U16, meaning=words(_CONTENT)))
        ),
        _REQUEST_SAMPLING_RATE: Procedure("request_sampling_rate", answer=response(_RATE)),
        _REQUEST_FACTORY_CALIBRATION_DATE: Procedure(
            "request_factory_calibration_date", answer=response(_DATE)
        ),
        _START_ENHANCED_OFFSET_COMPENSATION: Procedure(
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
    """2A66: opcode u8 and its parameter, or 0x20, request opcode u8, result u8 and an answer."""
    return CyclingPowerControlPoint.of(add_names(_CONTROL_POINT.read(data)))


POWER_CONTROL_POINT = Characteristic(
    "2a66", CyclingPowerControlPoint, decode_control_point, Use.CONTROL
)
