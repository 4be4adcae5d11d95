"""CGM Specific Ops Control Point (0x2AAC): a continuous glucose monitor's settings and session.

A request is answered by the value that was asked for, or by a response with a result. Where the
sensor's features say ``e2e_crc``, requests need ``crc.with_crc``.
Layout: Continuous Glucose Monitoring Service 1.0.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, get_args

from healthd.profiles.common.glucose_values import (
    AMOUNT,
    SampleLocation,
    SampleType,
    mg_per_dl,
    mmol_per_l,
    sample,
    sample_octet,
    seconds,
)
from healthd.profiles.packet.crc import read_checked
from healthd.profiles.packet.layout import Fact, Field, Layout, Present
from healthd.profiles.packet.wires import SFLOAT, U8, U16, Meaning, Wire, words
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

# The words stand in the order of their numbers.
_NAMES: dict[int, str] = dict(enumerate(get_args(Operation), start=1))
_OPCODES = {name: opcode for opcode, name in _NAMES.items()}
_SET_INTERVAL, _SET_CALIBRATION, _GET_CALIBRATION, _RESPONSE = 0x01, 0x04, 0x05, 0x1C

# In a request: as often as the sensor can.
_FASTEST = 0xFF
# In a request: the last record.
_LAST_RECORD = 0xFFFF
# Twice what sensors measure (27.8 mmol/L, 500 mg/dL), and ten times the steepest rate that they
# tell (0.3 mmol/L, 5 mg/dL a minute): a level beyond is a mistake in the unit.
_MOST_MMOL_PER_L = 55.6
_MOST_MMOL_PER_L_PER_MIN = 3


class CgmSpecificOps(Measurement):
    """A request to a continuous glucose monitor, or its answer."""

    kind: ClassVar[str] = "cgm_specific_ops"

    opcode: Annotated[int, quantity("1")]
    name: Operation | None = None
    """Absent for an opcode that has no name here."""
    communication_interval_s: Annotated[int | None, quantity("s")] = None
    """0: no notifications of its own; None: as often as it can."""
    level_mmol_per_l: Annotated[float | None, quantity("mmol/L")] = None
    level_mmol_per_l_per_min: Annotated[float | None, quantity("mmol/L/min")] = None
    glucose_mmol_per_l: Annotated[float | None, quantity("mmol/L")] = None
    """That the sensor is, or was, calibrated with."""
    calibration_time_s: Annotated[int | None, quantity("s")] = None
    """Since the session began."""
    sample_type: SampleType | int | None = None
    sample_location: SampleLocation | int | None = None
    next_calibration_time_s: Annotated[int | None, quantity("s")] = None
    record_number: Annotated[int | None, quantity("1")] = None
    calibration_status: list[CalibrationStatus] | None = None
    request_opcode: Annotated[int | None, quantity("1")] = None
    """What is answered."""
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
    """A field that stands in the messages of some opcodes."""
    return [Field(key, wire, Present(0xFF, opcode), meaning, required) for opcode in opcodes]


def _values(alerts: tuple[str, ...]) -> list[int]:
    """What sets a level, and what answers with it."""
    return [_OPCODES[name] for alert in alerts for name in (f"set_{alert}", f"{alert}_response")]


def _interval(minutes: int) -> int | None:
    return None if minutes == _FASTEST else seconds(minutes)


_INTERVALS, _CALIBRATIONS = (_SET_INTERVAL, 0x03), (_SET_CALIBRATION, 0x06)
_LEVELS, _RATES = _values(get_args(LevelAlert)), _values(get_args(RateAlert))
_CALIBRATION_STATUS = words(dict(enumerate(get_args(CalibrationStatus))))
_LAYOUT = Layout(
    *_fields("communication_interval_s", U8, _INTERVALS, _interval, required=True),
    *_fields("level_mmol_per_l", AMOUNT, _LEVELS, mmol_per_l, required=True),
    *_fields("level_mmol_per_l_per_min", SFLOAT, _RATES, mmol_per_l, required=True),
    *_fields("glucose_mmol_per_l", AMOUNT, _CALIBRATIONS, mmol_per_l, required=True),
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
    """2AAC: opcode u8, what belongs to it, CRC where the sensor has one."""
    # How long an unknown message is without a CRC is not known, so it has none.
    known = _LAYOUT.flags(data) in _NAMES
    return CgmSpecificOps.of(read_checked(_LAYOUT, data) if known else _LAYOUT.read(data))


def set_communication_interval(*, interval_s: float | None) -> bytes:
    """How often the sensor notifies, in whole minutes; 0: not at all; None: as often as it can.

    Raises:
        ValueError: it is not from 0 to 15240 s.
    """
    if interval_s is None:
        return bytes([_SET_INTERVAL, _FASTEST])
    return bytes([_SET_INTERVAL, _minutes("interval_s", interval_s, _FASTEST - 1)])


def set_glucose_calibration(
    *,
    glucose_mmol_per_l: float,
    calibration_time_s: float,
    sample_type: SampleType,
    sample_location: SampleLocation | None = None,
) -> bytes:
    """A measurement by other means, for the sensor to agree with.

    Args:
        glucose_mmol_per_l: what was measured.
        calibration_time_s: when, since the session began; whole minutes.
        sample_type: what it was measured in.
        sample_location: where that was taken; None: not available.

    Raises:
        ValueError: the concentration is not from 0 to 55.6, or the time from 0 to 3932100 s.
    """
    concentration = _level("glucose_mmol_per_l", glucose_mmol_per_l, 0, _MOST_MMOL_PER_L)
    minutes = _minutes("calibration_time_s", calibration_time_s, 0xFFFF).to_bytes(2, "little")
    place = sample_octet(sample_type, sample_location)
    # The next time, the number and the status are the sensor's to say.
    return bytes([_SET_CALIBRATION]) + concentration + minutes + bytes([place]) + bytes(5)


def get_glucose_calibration(*, record_number: int = _LAST_RECORD) -> bytes:
    """Ask for a calibration, the last one unless told otherwise.

    Raises:
        ValueError: the number is not from 0 to 65535.
    """
    if not 0 <= record_number <= _LAST_RECORD:
        raise ValueError(f"record_number: expected 0 to 65535, found {record_number}")
    return bytes([_GET_CALIBRATION]) + record_number.to_bytes(2, "little")


def set_level(alert: LevelAlert, *, level_mmol_per_l: float) -> bytes:
    """The concentration at which the sensor alerts.

    Raises:
        ValueError: it is not from 0 to 55.6.
    """
    level = _level("level_mmol_per_l", level_mmol_per_l, 0, _MOST_MMOL_PER_L)
    return bytes([_OPCODES[f"set_{alert}"]]) + level


def set_rate(alert: RateAlert, *, level_mmol_per_l_per_min: float) -> bytes:
    """The rate of change at which the sensor alerts; of a decrease it may be negative.

    Raises:
        ValueError: it is not from -3 to 3.
    """
    most = _MOST_MMOL_PER_L_PER_MIN
    level = _level("level_mmol_per_l_per_min", level_mmol_per_l_per_min, -most, most)
    return bytes([_OPCODES[f"set_{alert}"]]) + level


def plain_request(
    name: Literal[
        "get_communication_interval",
        "get_patient_high",
        "get_patient_low",
        "get_hypo",
        "get_hyper",
        "get_rate_of_decrease",
        "get_rate_of_increase",
        "reset_device_specific_alert",
        "start_session",
        "stop_session",
    ],
) -> bytes:
    """A request that consists of its opcode."""
    return bytes([_OPCODES[name]])


def _minutes(name: str, value_s: float, most: int) -> int:
    if not 0 <= value_s <= most * 60:
        raise ValueError(f"{name}: expected 0 to {most * 60}, found {value_s}")
    return round(value_s / 60)


def _level(name: str, value: float, least: float, most: float) -> bytes:
    if not least <= value <= most:
        raise ValueError(f"{name}: expected {least} to {most}, found {value}")
    return mg_per_dl(value)
