"""CGM Specific Ops Control Point (0x2AAC): a continuous glucose monitor's settings and session.

A request is answered by the requested value, or by a response with a result code. If the sensor's
features include ``e2e_crc``, requests need a CRC.
Layout: Continuous Glucose Monitoring Service 1.0.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, get_args

from healthd.profiles.common.glucose_values import (
    MG_PER_DL,
    MG_PER_DL_RATE,
    SampleLocation,
    SampleType,
    sample,
    seconds,
)
from healthd.profiles.packet.crc import read_checked
from healthd.profiles.packet.layout import Fact, Field, Layout, Present
from healthd.profiles.packet.wires import U8, U16, Meaning, Wire, words
from healthd.samples import Measurement, quantity

LevelAlert = Literal["patient_high", "patient_low", "hypo", "hyper"]
RateAlert = Literal["rate_of_decrease", "rate_of_increase"]
CalibrationStatus = Literal["rejected", "out_of_range", "pending"]
Operation = Literal[
    "set_communication_interval",
    "get_communication_interval",
    "communication_interval_response",
    "set_glucose_calibration",
    "get_glucose_calibration",
    "glucose_calibration_response",
    "set_patient_high",
    "get_patient_high",
    "patient_high_response",
    "set_patient_low",
    "get_patient_low",
    "patient_low_response",
    "set_hypo",
    "get_hypo",
    "hypo_response",
    "set_hyper",
    "get_hyper",
    "hyper_response",
    "set_rate_of_decrease",
    "get_rate_of_decrease",
    "rate_of_decrease_response",
    "set_rate_of_increase",
    "get_rate_of_increase",
    "rate_of_increase_response",
    "reset_device_specific_alert",
    "start_session",
    "stop_session",
    "response",
]

# The names are in the order of their numbers.
_NAMES: dict[int, str] = dict(enumerate(get_args(Operation), start=1))
_OPCODES = {name: opcode for opcode, name in _NAMES.items()}
_SET_INTERVAL, _SET_CALIBRATION, _GET_CALIBRATION, _RESPONSE = 0x01, 0x04, 0x05, 0x1C

# The communication interval that means: as often as the sensor can.
_FASTEST = 0xFF


class CgmSpecificOps(Measurement):
    """A request to a continuous glucose monitor, or its response."""

    kind: ClassVar[str] = "cgm_specific_ops"

    opcode: Annotated[int, quantity("1")]
    name: Operation | None = None
    """Absent for an opcode without a name here."""
    communication_interval_s: Annotated[int | None, quantity("s")] = None
    """0: the sensor sends no notifications by itself; ``null``: as often as it can."""
    level_mmol_per_l: Annotated[float | None, quantity("mmol/L")] = None
    level_mmol_per_l_per_min: Annotated[float | None, quantity("mmol/L/min")] = None
    glucose_mmol_per_l: Annotated[float | None, quantity("mmol/L")] = None
    """The value that the sensor is, or was, calibrated with."""
    calibration_time_s: Annotated[int | None, quantity("s")] = None
    """Since the start of the session."""
    sample_type: SampleType | int | None = None
    sample_location: SampleLocation | int | None = None
    next_calibration_time_s: Annotated[int | None, quantity("s")] = None
    record_number: Annotated[int | None, quantity("1")] = None
    calibration_status: list[CalibrationStatus] | None = None
    request_opcode: Annotated[int | None, quantity("1")] = None
    """The request that a response answers."""
    result_code: Annotated[int | None, quantity("1")] = None
    """1 success, 2 not supported, 3 invalid operand, 4 not completed, 5 out of range."""
    crc_ok: bool | None = None


def _fields(
    key: str,
    wire: Wire,
    opcodes: Iterable[int],
    meaning: Meaning | None = None,
    *,
    required: bool = False,
) -> list[Field]:
    """Return a field that the messages of these opcodes have."""
    return [Field(key, wire, Present(0xFF, opcode), meaning, required) for opcode in opcodes]


def _values(alerts: tuple[str, ...]) -> list[int]:
    """Return the opcodes of the requests and responses that contain these alerts' levels."""
    return [_OPCODES[name] for alert in alerts for name in (f"set_{alert}", f"{alert}_response")]


def _interval(minutes: int) -> int | None:
    return None if minutes == _FASTEST else seconds(minutes)


_INTERVALS, _CALIBRATIONS = (_SET_INTERVAL, 0x03), (_SET_CALIBRATION, 0x06)
_LEVELS, _RATES = _values(get_args(LevelAlert)), _values(get_args(RateAlert))
_CALIBRATION_STATUS = words(dict(enumerate(get_args(CalibrationStatus))))
_LAYOUT = Layout(
    *_fields("communication_interval_s", U8, _INTERVALS, _interval, required=True),
    *_fields("level_mmol_per_l", MG_PER_DL, _LEVELS, required=True),
    *_fields("level_mmol_per_l_per_min", MG_PER_DL_RATE, _RATES, required=True),
    *_fields("glucose_mmol_per_l", MG_PER_DL, _CALIBRATIONS, required=True),
    *_fields("calibration_time_s", U16, _CALIBRATIONS, seconds),
    *_fields("", U8, _CALIBRATIONS, sample),
    *_fields("next_calibration_time_s", U16, _CALIBRATIONS, seconds),
    *_fields("record_number", U16, (*_CALIBRATIONS, _GET_CALIBRATION)),
    *_fields("calibration_status", U8, _CALIBRATIONS, _CALIBRATION_STATUS),
    *_fields("request_opcode", U8, [_RESPONSE], required=True),
    *_fields("result_code", U8, [_RESPONSE], required=True),
    flags=U8,
    facts=(
        Fact("opcode", lambda opcode: opcode),
        *(Fact("name", lambda opcode: _NAMES[opcode], Present(0xFF, known)) for known in _NAMES),
    ),
)


def decode_cgm_specific_ops(data: bytes) -> CgmSpecificOps:
    """Decode 2AAC: opcode u8, its parameters, CRC if the sensor has one."""
    # The length of an unknown message is not known, so a CRC in it cannot be found.
    known = _LAYOUT.flags(data) in _NAMES
    return CgmSpecificOps.of(read_checked(_LAYOUT, data) if known else _LAYOUT.read(data))
