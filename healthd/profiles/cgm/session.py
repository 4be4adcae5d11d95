"""Features, status and session of a continuous glucose monitor (0x2AA8 to 0x2AAB).

Layouts: Continuous Glucose Monitoring Service 1.0 and the GATT Specification Supplement.
"""

from typing import Annotated, ClassVar, Literal, get_args

from healthd.profiles.common.glucose_values import SampleLocation, SampleType, sample, seconds
from healthd.profiles.packet.crc import is_intact, read_checked
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Field, Layout
from healthd.profiles.packet.wires import DATE_TIME, S8, U8, U16, U24, words
from healthd.samples import Measurement, quantity

CgmFeatureName = Literal[
    "calibration",
    "patient_high_low_alerts",
    "hypo_alerts",
    "hyper_alerts",
    "rate_alerts",
    "device_specific_alert",
    "sensor_malfunction_detection",
    "temperature_high_low_detection",
    "result_high_low_detection",
    "low_battery_detection",
    "sensor_type_error_detection",
    "general_fault",
    "e2e_crc",
    "multiple_bonds",
    "multiple_sessions",
    "trend_information",
    "quality",
]
CgmStatusName = Literal[
    "session_stopped",
    "device_battery_low",
    "sensor_type_incorrect",
    "sensor_malfunction",
    "device_specific_alert",
    "general_device_fault",
    "time_sync_required",
    "calibration_not_allowed",
    "calibration_recommended",
    "calibration_required",
    "temperature_too_high",
    "temperature_too_low",
    "calibration_pending",
    "below_patient_low",
    "above_patient_high",
    "below_hypo",
    "above_hyper",
    "rate_of_decrease_exceeded",
    "rate_of_increase_exceeded",
    "result_below_range",
    "result_above_range",
]

_STATUS, _CALIBRATION, _WARNING = range(6), range(8, 15), range(16, 24)
STATUS_NAMES: dict[int, str] = dict(
    zip((*_STATUS, *_CALIBRATION, *_WARNING), get_args(CgmStatusName), strict=True)
)
"""The names by their bits: eight bits each for the sensor, for calibration and temperature, and for
warnings."""

# Sent by sensors without a CRC.
_NO_CRC = 0xFFFF
_FEATURE_BYTES = 6

_QUARTER_S = 15 * 60
_ZONES = range(-48, 57)
_DST_S = {0: 0, 2: 30 * 60, 4: 60 * 60, 8: 120 * 60}
_HOUR_S = 60 * 60


class CgmFeature(Measurement):
    """What the sensor can do, and where it is worn."""

    kind: ClassVar[str] = "cgm_feature"

    features: list[CgmFeatureName]
    sample_type: SampleType | int | None = None
    sample_location: SampleLocation | int | None = None
    crc_ok: bool | None = None
    """Absent if the sensor has no CRC."""


class CgmStatus(Measurement):
    """The sensor's state."""

    kind: ClassVar[str] = "cgm_status"
    retained: ClassVar[bool] = True

    time_offset_s: Annotated[int, quantity("s")]
    """Since the start of the session."""
    status: list[CgmStatusName] | None = None
    crc_ok: bool | None = None


class CgmSessionStart(Measurement):
    """The start of the session, on the sensor's clock."""

    kind: ClassVar[str] = "cgm_session_start"
    schema_version: ClassVar[int] = 2
    retained: ClassVar[bool] = True

    start_time: str | None
    """Local time, in the form of ``device_time``."""
    time_zone_s: Annotated[int | None, quantity("s")] = None
    """Local standard time minus UTC; ``null`` if it is unknown."""
    dst_offset_s: Annotated[int | None, quantity("s")] = None
    crc_ok: bool | None = None


class CgmSessionRunTime(Measurement):
    """The longest duration of a session."""

    kind: ClassVar[str] = "cgm_session_run_time"

    run_time_s: Annotated[int, quantity("s")]
    crc_ok: bool | None = None


_FEATURE = Layout(
    Field("features", U24, meaning=words(dict(enumerate(get_args(CgmFeatureName)))), required=True),
    Field("", U8, meaning=sample),
    Field("crc", U16),
)
_STATE = Layout(
    Field("time_offset_s", U16, meaning=seconds, required=True),
    Field("status", U24, meaning=words(STATUS_NAMES)),
)
_START = Layout(
    Field("start_time", DATE_TIME, meaning=date_text, required=True),
    Field("time_zone_s", S8, meaning=lambda raw: raw * _QUARTER_S if raw in _ZONES else None),
    Field("dst_offset_s", U8, meaning=_DST_S.get),
)
_RUN_TIME = Layout(Field("run_time_s", U16, meaning=lambda raw: raw * _HOUR_S, required=True))


def decode_cgm_feature(data: bytes) -> CgmFeature:
    """Decode 2AA8: features u24, sample u8, CRC u16, which is 0xFFFF if the sensor has none."""
    fields = _FEATURE.read(data)
    crc = fields.pop("crc", _NO_CRC)
    if "e2e_crc" in fields["features"] and "truncated" not in fields:
        fields["crc_ok"] = is_intact(data[:_FEATURE_BYTES])
    elif crc != _NO_CRC:
        # Either the CRC is wrong, or the feature bit that announces it.
        fields["crc_ok"] = False
    return CgmFeature.of(fields)


def decode_cgm_status(data: bytes) -> CgmStatus:
    """Decode 2AA9: offset u16 (min), status u24, CRC if the sensor has one."""
    return CgmStatus.of(read_checked(_STATE, data))


def decode_cgm_session_start(data: bytes) -> CgmSessionStart:
    """Decode 2AAA: time, zone s8 and daylight saving u8 (15 min), CRC if the sensor has one."""
    return CgmSessionStart.of(read_checked(_START, data))


def decode_cgm_session_run_time(data: bytes) -> CgmSessionRunTime:
    """Decode 2AAB: hours u16, CRC if the sensor has one."""
    return CgmSessionRunTime.of(read_checked(_RUN_TIME, data))
