"""Pulse Oximeter service (0x1822): blood oxygen and pulse, continuously or as single results.

An oximeter that stores results is asked for all of them, because they have no numbers to select by;
their times show which are new. Layouts: Pulse Oximeter Service 1.0, checked against a capture.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, get_args

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.racp import RECORD_ACCESS, RecordAccess, abort
from healthd.profiles.common.stored import fetch_all, is_answer, is_request
from healthd.profiles.dialogue import Exchange, Opening
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Fact, Field, Layout, bit
from healthd.profiles.packet.wires import DATE_TIME, SFLOAT, U8, U16, U24, words
from healthd.profiles.profile import Profile
from healthd.profiles.results.episodes import Episodes
from healthd.profiles.results.kind import Phase, ResultKind
from healthd.samples import DeviceTimed, Measurement, quantity

MeasurementStatus = Literal[
    "ongoing",
    "early_estimate",
    "validated",
    "fully_qualified",
    "from_storage",
    "demonstration",
    "testing",
    "calibrating",
    "unavailable",
    "questionable",
    "invalid",
]
DeviceStatus = Literal[
    "extended_update",
    "equipment_malfunction",
    "signal_irregular",
    "signal_inadequate",
    "signal_poor",
    "low_perfusion",
    "signal_erratic",
    "signal_non_pulsatile",
    "questionable_pulse",
    "signal_analysing",
    "interference",
    "not_on_user",
    "unknown_sensor",
    "sensor_displaced",
    "sensor_fault",
    "sensor_disconnected",
]
Feature = Literal[
    "measurement_status",
    "device_status",
    "measurement_storage",
    "timestamp",
    "fast_metric",
    "slow_metric",
    "pulse_amplitude_index",
    "multiple_bonds",
]

# Bits 0 to 4 are reserved.
_MEASUREMENT_STATUS = words(dict(enumerate(get_args(MeasurementStatus), start=5)))
_DEVICE_STATUS = words(dict(enumerate(get_args(DeviceStatus))))
_CLOCK_NOT_SET = 0x10

Spo2 = Annotated[float | None, quantity("%", mdc=150456, loinc="59408-5")]
PulseRate = Annotated[float | None, quantity("/min", mdc=149530, loinc="8867-4")]


class Oximetry(DeviceTimed):
    """The fields that continuous and single results have in common."""

    spo2_pct: Spo2
    pulse_rate_bpm: PulseRate
    measurement_status: list[MeasurementStatus] | None = None
    device_status: list[DeviceStatus] | None = None
    pulse_amplitude_index_pct: Annotated[float | None, quantity("%")] = None


class PulseOximeter(Oximetry):
    """One notification of an oximeter that is worn.

    The ``fast`` and ``slow`` pairs are averaged over a shorter and a longer time.
    """

    kind: ClassVar[str] = "pulse_oximeter"

    spo2_fast_pct: Spo2 = None
    pulse_rate_fast_bpm: PulseRate = None
    spo2_slow_pct: Spo2 = None
    pulse_rate_slow_bpm: PulseRate = None
    movement: Annotated[int | None, quantity("1")] = None
    """How much the wearer moves, as a number of the device's own."""


class PulseOximeterSpotCheck(Oximetry):
    """One result of an oximeter."""

    kind: ClassVar[str] = "pulse_oximeter_spot_check"
    retained: ClassVar[bool] = True

    clock_not_set: bool
    """True if the device's clock was not set, so that the time means nothing."""


class IntermediateSpotCheck(PulseOximeterSpotCheck):
    """What an oximeter sends before a result, or instead of one."""

    kind: ClassVar[str] = "intermediate_spot_check"
    retained: ClassVar[bool] = False
    intermediate: ClassVar[bool] = True


class PulseOximeterFeatures(Measurement):
    """What the oximeter can report."""

    kind: ClassVar[str] = "pulse_oximeter_features"

    features: list[Feature]
    supported_measurement_status: list[MeasurementStatus] | None = None
    supported_device_status: list[DeviceStatus] | None = None


_CONTINUOUS = Layout(
    Field("spo2_pct", SFLOAT, required=True),
    Field("pulse_rate_bpm", SFLOAT, required=True),
    Field("spo2_fast_pct", SFLOAT, bit(0)),
    Field("pulse_rate_fast_bpm", SFLOAT, bit(0)),
    Field("spo2_slow_pct", SFLOAT, bit(1)),
    Field("pulse_rate_slow_bpm", SFLOAT, bit(1)),
    Field("measurement_status", U16, bit(2), _MEASUREMENT_STATUS),
    Field("device_status", U24, bit(3), _DEVICE_STATUS),
    Field("pulse_amplitude_index_pct", SFLOAT, bit(4)),
    flags=U8,
)
_SPOT_CHECK = Layout(
    Field("spo2_pct", SFLOAT, required=True),
    Field("pulse_rate_bpm", SFLOAT, required=True),
    Field("device_time", DATE_TIME, bit(0), date_text),
    Field("measurement_status", U16, bit(1), _MEASUREMENT_STATUS),
    Field("device_status", U24, bit(2), _DEVICE_STATUS),
    Field("pulse_amplitude_index_pct", SFLOAT, bit(3)),
    flags=U8,
    facts=(Fact("clock_not_set", lambda flags: bool(flags & _CLOCK_NOT_SET)),),
)


_FEATURES = Layout(
    Field("supported_measurement_status", U16, bit(0), _MEASUREMENT_STATUS),
    Field("supported_device_status", U24, bit(1), _DEVICE_STATUS),
    flags=U16,
    facts=(Fact("features", words(dict(enumerate(get_args(Feature))))),),
)


def decode_continuous(data: bytes) -> PulseOximeter:
    """Decode 2A5F: flags u8, SpO2 and pulse SFLOAT, then by the flags."""
    return PulseOximeter.of(_CONTINUOUS.read(data))


def decode_spot_check(data: bytes) -> PulseOximeterSpotCheck:
    """Decode 2A5E: flags u8, SpO2 and pulse SFLOAT, then by the flags, the time first."""
    return PulseOximeterSpotCheck.of(_SPOT_CHECK.read(data))


def decode_features(data: bytes) -> PulseOximeterFeatures:
    """Decode 2A60: features u16, then the bits used in the two statuses, u16 and u24."""
    return PulseOximeterFeatures.of(_FEATURES.read(data))


# Words for a result that is not the last one, or none.
_UNFINISHED = frozenset({"ongoing", "early_estimate", "unavailable", "invalid"})


def _phase(packet: PulseOximeterSpotCheck) -> Phase:
    is_unfinished = packet.spo2_pct is None or not _UNFINISHED.isdisjoint(
        packet.measurement_status or ()
    )
    return Phase.WITHOUT_RESULT if is_unfinished else Phase.FINISHED


def _intermediate(packet: PulseOximeterSpotCheck) -> IntermediateSpotCheck:
    return IntermediateSpotCheck.of(packet.fields())


def _is_dated(packet: PulseOximeterSpotCheck) -> bool:
    return not packet.clock_not_set


# The values distinguish results with the same time: an unset clock repeats times.
_KIND = ResultKind(
    model=PulseOximeterSpotCheck,
    intermediate=_intermediate,
    phase=_phase,
    values=("spo2_pct", "pulse_rate_bpm"),
    is_dated=_is_dated,
)


class PulseOximeterState(Episodes):
    """Makes results of spot checks, live and stored ones, during one link."""

    def __init__(self, options: Options) -> None:
        """Start without a request."""
        options.records.enter_series("")
        super().__init__(_KIND, options)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return what to publish after a packet; the newest stored result follows the last one."""
        if not isinstance(measurement, RecordAccess):
            return super().take(measurement, mono_ns)
        if is_request(measurement):
            self.begin_transfer()
        elif is_answer(measurement):
            return self.end_transfer()
        return ()


def fetch_results(options: Options) -> Exchange:
    """Ask for all stored results."""
    return fetch_all(options.records)


PROFILE = Profile(
    name="pulse_oximeter",
    service="1822",
    characteristics=(
        Characteristic("2a5f", PulseOximeter, decode_continuous, Use.STREAM),
        Characteristic("2a5e", PulseOximeterSpotCheck, decode_spot_check, Use.STREAM),
        Characteristic("2a60", PulseOximeterFeatures, decode_features, Use.STATIC),
        RECORD_ACCESS,
    ),
    state=PulseOximeterState,
    opening=Opening("2a52", fetch_results, abort=abort()),
    derived=(IntermediateSpotCheck,),
)
