"""Blood Pressure service (0x1810). Layouts: GATT Specification Supplement."""

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.personal import PersonalResult
from healthd.profiles.options import Options
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Field, Layout, bit, no_bit
from healthd.profiles.packet.wires import (
    DATE_TIME,
    SFLOAT,
    U8,
    U16,
    Wire,
    nothing,
    number,
    scaled,
    sfloat_in,
    words,
)
from healthd.profiles.profile import Profile
from healthd.profiles.results.episodes import Episodes
from healthd.profiles.results.kind import QUIET_S, Phase, ResultKind
from healthd.samples import DeviceTimed, Measurement, quantity

# No cuff measures more (ISO 81060-2). QardioArms send such numbers when they give up.
MOST_MMHG = 300.0

_MMHG_PER_KPA = Fraction("7.500615758")
_UNKNOWN_USER = 0xFF

Status = Literal["body_movement", "cuff_too_loose", "irregular_pulse", "improper_position"]
PulseRateRange = Literal["within", "above", "below", "reserved"]
Feature = Literal[
    "body_movement_detection",
    "cuff_fit_detection",
    "irregular_pulse_detection",
    "pulse_rate_range_detection",
    "measurement_position_detection",
    "multiple_bonds",
    "e2e_crc",
    "user_data_service",
    "user_facing_time",
]

_STATUS: dict[int, Status] = {
    0: "body_movement",
    1: "cuff_too_loose",
    2: "irregular_pulse",
    5: "improper_position",
}
_RANGES: tuple[PulseRateRange, ...] = ("within", "above", "below", "reserved")
_FEATURES: dict[int, Feature] = {
    0: "body_movement_detection",
    1: "cuff_fit_detection",
    2: "irregular_pulse_detection",
    3: "pulse_rate_range_detection",
    4: "measurement_position_detection",
    5: "multiple_bonds",
    6: "e2e_crc",
    7: "user_data_service",
    8: "user_facing_time",
}


class CuffMeasurement(DeviceTimed):
    """The fields that both measurements may have in addition to their pressures."""

    pulse_rate_bpm: Annotated[float | None, quantity("/min", mdc=149546, loinc="8867-4")] = None
    user_id: Annotated[int | None, quantity("1")] = None
    """``null`` means an unknown user."""
    status: list[Status] | None = None
    pulse_rate_range: PulseRateRange | None = None
    """Compared with the limits configured on the device."""


class BloodPressure(CuffMeasurement, PersonalResult):
    """A finished measurement; the mean pressure is ``null`` if the device has no value."""

    kind: ClassVar[str] = "blood_pressure"
    retained: ClassVar[bool] = True

    systolic_mmhg: Annotated[float | None, quantity("mm[Hg]", mdc=150021, loinc="8480-6")]
    diastolic_mmhg: Annotated[float | None, quantity("mm[Hg]", mdc=150022)]
    mean_arterial_pressure_mmhg: Annotated[float | None, quantity("mm[Hg]", mdc=150023)]


class IntermediateCuffPressure(CuffMeasurement):
    """The pressure in the cuff during a measurement, or what was sent instead of a result."""

    kind: ClassVar[str] = "intermediate_cuff_pressure"
    intermediate: ClassVar[bool] = True

    cuff_pressure_mmhg: Annotated[float | None, quantity("mm[Hg]")]
    """Where a result has the systolic pressure."""
    diastolic_mmhg: Annotated[float | None, quantity("mm[Hg]")] = None
    """Only of an incomplete result."""
    mean_arterial_pressure_mmhg: Annotated[float | None, quantity("mm[Hg]")] = None
    """Only of an incomplete result."""


class BloodPressureFeatures(Measurement):
    """What the device can report about a measurement."""

    kind: ClassVar[str] = "blood_pressure_features"

    features: list[Feature]


_list_status = words(_STATUS)

# Only six bits have a meaning. Looking them up takes a quarter of the time of decoding them.
_STATUSES: tuple[dict[str, Any], ...] = tuple(
    {"status": _list_status(raw), "pulse_rate_range": _RANGES[raw >> 3 & 0x03]}
    for raw in range(0x40)
)


def _status(raw: int) -> dict[str, Any]:
    return _STATUSES[raw & 0x3F]


class _Form(NamedTuple):
    """How a device writes its numbers: as they are, and the pressures that it sends in kPa."""

    plain: Wire
    kilopascals: Wire


_STANDARD = _Form(SFLOAT, Wire("H", "SFLOAT", sfloat_in(_MMHG_PER_KPA, usual=-1)))
_INTEGERS = _Form(
    U16,
    Wire("H", "u16", scaled(_MMHG_PER_KPA.denominator, factor=_MMHG_PER_KPA.numerator)),
)


def _pressure(key: str, form: _Form) -> tuple[Field, Field]:
    return (
        Field(key, form.plain, no_bit(0), required=True),
        Field(key, form.kilopascals, bit(0), required=True),
    )


# All fields are required. 19 bytes fit into any MTU, so the link never cuts a packet short, and
# healthd must not guess the user or the time of a blood pressure.
def _after_pressures(wire: Wire) -> tuple[Field, ...]:
    """Return the fields that follow the pressures."""
    return (
        Field("device_time", DATE_TIME, bit(1), date_text, required=True),
        Field("pulse_rate_bpm", wire, bit(2), required=True),
        Field("user_id", U8, bit(3), number(_UNKNOWN_USER), required=True),
        Field("", U16, bit(4), _status, required=True),
    )


def _measurement(form: _Form) -> Layout:
    return Layout(
        *_pressure("systolic_mmhg", form),
        *_pressure("diastolic_mmhg", form),
        *_pressure("mean_arterial_pressure_mmhg", form),
        *_after_pressures(form.plain),
        flags=U8,
    )


_MEASUREMENT = _measurement(_STANDARD)
_PLAIN_INTEGERS = _measurement(_INTEGERS)
_INTERMEDIATE = Layout(
    *_pressure("cuff_pressure_mmhg", _STANDARD),
    # Fillers, mostly NaN, where 2A35 has the diastolic and the mean pressure.
    Field("", U16, meaning=nothing, required=True),
    Field("", U16, meaning=nothing, required=True),
    *_after_pressures(SFLOAT),
    flags=U8,
)
_FEATURE = Layout(Field("features", U16, meaning=words(_FEATURES), required=True))


def decode_blood_pressure(data: bytes) -> BloodPressure:
    """Decode 2A35: flags u8, systolic, diastolic, mean (SFLOAT, mmHg or kPa), then by the flags.

    The flags announce: date-time, pulse SFLOAT (/min), user u8, status u16.
    """
    return BloodPressure.of(_MEASUREMENT.read(data))


def decode_plain_integers(data: bytes) -> BloodPressure:
    """Decode 2A35 with a plain u16 wherever the standard has an SFLOAT."""
    return BloodPressure.of(_PLAIN_INTEGERS.read(data))


def decode_intermediate_cuff_pressure(data: bytes) -> IntermediateCuffPressure:
    """Decode 2A36: as 2A35, with the cuff pressure and two fillers as the three pressures."""
    return IntermediateCuffPressure.of(_INTERMEDIATE.read(data))


def decode_feature(data: bytes) -> BloodPressureFeatures:
    """Decode 2A49: features u16."""
    return BloodPressureFeatures.of(_FEATURE.read(data))


def _phase(packet: BloodPressure) -> Phase:
    """Distinguish a result from the pressure in the cuff, and from an error.

    Cuffs send zero or no value for what they have not measured.
    """
    upper, lower = packet.systolic_mmhg, packet.diastolic_mmhg
    if upper is not None and lower is not None and 0 < lower < upper <= MOST_MMHG:
        return Phase.FINISHED
    # A cuff that dates its errors may have stored them.
    return Phase.MEASURING if packet.device_time is None else Phase.WITHOUT_RESULT


def _intermediate(packet: BloodPressure) -> IntermediateCuffPressure:
    fields = packet.fields()
    fields["cuff_pressure_mmhg"] = fields.pop("systolic_mmhg")
    for key in ("diastolic_mmhg", "mean_arterial_pressure_mmhg"):
        if not fields[key]:
            del fields[key]
    return IntermediateCuffPressure.of(fields)


def _are_one(first: BloodPressure, second: BloodPressure) -> bool:
    """Return whether results that follow each other at once are of the same measurement."""
    return first.device_time is None and second.device_time is None


def _wait_s(_result: BloodPressure) -> float:
    return QUIET_S


_KIND = ResultKind(
    model=BloodPressure,
    intermediate=_intermediate,
    phase=_phase,
    values=("systolic_mmhg", "diastolic_mmhg", "pulse_rate_bpm"),
    updates=_are_one,
    wait_s=_wait_s,
)


def measurements(options: Options) -> Episodes:
    """Return the memory of a link with a cuff: each measurement has one result."""
    return Episodes(_KIND, options)


PROFILE = Profile(
    name="blood_pressure",
    service="1810",
    characteristics=(
        Characteristic("2a35", BloodPressure, decode_blood_pressure, Use.STREAM),
        Characteristic(
            "2a36",
            IntermediateCuffPressure,
            decode_intermediate_cuff_pressure,
            Use.STREAM,
            accompanies=True,
        ),
        Characteristic("2a49", BloodPressureFeatures, decode_feature, Use.STATIC),
    ),
    state=measurements,
)
