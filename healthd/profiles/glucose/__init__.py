"""Glucose service (0x1808): a meter that keeps its results, and what was noted about them.

A meter sends its records when it is asked (see ``racp``), so healthd asks once per link for those
that it has not taken yet. Each comes with a sequence number, and its context under the same one.
Layouts: Glucose Service 1.0 and the GATT Specification Supplement.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, get_args

from healthd.profiles.characteristic import (
    Characteristic,
    Exchange,
    Opening,
    Options,
    Profile,
    Timed,
    Use,
)
from healthd.profiles.common.glucose_values import (
    KG_PER_L,
    MOL_PER_L,
    GlucoseResult,
    GlucoseStatus,
    later,
    mmol_per_l,
    sample,
    seconds,
)
from healthd.profiles.common.racp import RECORD_ACCESS, RecordAccess, abort, by_number
from healthd.profiles.common.stored import Transfer, fetch_new
from healthd.profiles.glucose.context import (
    GlucoseContext,
    decode_glucose_context,
)
from healthd.profiles.packet.layout import Fact, Field, Layout, bit, both, no_bit
from healthd.profiles.packet.wires import DATE_TIME, S16, U8, U16, moment, words
from healthd.samples import Measurement, Record

# What a context is joined with.
_JOINED = GlucoseResult.model_fields.keys() - Measurement.model_fields.keys()

# More than a meter keeps (500 to 1000 results), so a context finds its measurement even where all
# contexts come behind all measurements.
_REMEMBERED = 1024

Feature = Literal[
    "low_battery_detection",
    "sensor_malfunction_detection",
    "sample_size_detection",
    "strip_insertion_error_detection",
    "strip_type_error_detection",
    "result_high_low_detection",
    "temperature_high_low_detection",
    "read_interrupt_detection",
    "general_fault",
    "time_fault",
    "multiple_bonds",
]


class Glucose(GlucoseResult):
    """One result of a meter."""

    kind: ClassVar[str] = "glucose"

    context_follows: bool
    """Whether a ``glucose_context`` of the same number is going to come."""


class GlucoseFeature(Measurement):
    """What a meter can tell."""

    kind: ClassVar[str] = "glucose_feature"

    features: list[Feature]


_OFFSET = 0x01

_GLUCOSE = Layout(
    Field("sequence_number", U16, required=True),
    Field("", DATE_TIME, meaning=moment, required=True),
    Field("time_offset_s", S16, bit(0), seconds),
    Field("glucose_mmol_per_l", KG_PER_L, both(bit(1), no_bit(2)), mmol_per_l),
    Field("glucose_mmol_per_l", MOL_PER_L, both(bit(1), bit(2))),
    Field("", U8, bit(1), sample),
    Field("status", U16, bit(3), words(dict(enumerate(get_args(GlucoseStatus))))),
    flags=U8,
    facts=(Fact("context_follows", lambda flags: bool(flags & 0x10)),),
)
_FEATURE = Layout(
    Field("features", U16, meaning=words(dict(enumerate(get_args(Feature)))), required=True)
)


def decode_glucose(data: bytes) -> Glucose:
    """2A18: flags u8, number u16, time, offset s16 (min), SFLOAT kg/L or mol/L, sample, status."""
    fields = _GLUCOSE.read(data)
    if offset_s := fields.get("time_offset_s"):
        fields["device_time"] = later(fields["device_time"], offset_s)
    elif offset_s is None and data[0] & _OFFSET:
        # Cut in the offset: the time without it may be hours off.
        del fields["device_time"]
    return Glucose.of(fields)


def decode_glucose_feature(data: bytes) -> GlucoseFeature:
    """2A51: a bit field u16."""
    return GlucoseFeature.of(_FEATURE.read(data))


class GlucoseState:
    """The results of this link, for the contexts that follow them."""

    def __init__(self, options: Options) -> None:
        """Begin with none."""
        options.records.enter("")
        self._results: dict[int, dict[str, Any]] = {}
        self._transfer = Transfer()

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """A result as it is, a context with its result's values; of the control point nothing.

        The newest one of those that were stored comes when they have all come.
        """
        match measurement:
            case RecordAccess():
                return self._transfer.hear(measurement)
            case Glucose():
                self._remember(measurement)
            case GlucoseContext():
                result = self._results.get(measurement.sequence_number, {})
                measurement = measurement.model_copy(update=result)
            case _:
                return (Timed(measurement, mono_ns),)
        return self._transfer.take(Timed(measurement, mono_ns, _record(measurement)))

    def end(self) -> Iterable[Timed]:
        """The newest one of those that had come when the link ended."""
        return self._transfer.end()

    def _remember(self, result: Glucose) -> None:
        # Out first: a number that comes again becomes the newest.
        self._results.pop(result.sequence_number, None)
        self._results[result.sequence_number] = {
            key: getattr(result, key) for key in _JOINED & result.model_fields_set
        }
        if len(self._results) > _REMEMBERED:
            del self._results[next(iter(self._results))]


def _record(measurement: Glucose | GlucoseContext) -> Record:
    """By its number, and by the clock that its owner does not shift when he travels."""
    time = measurement.timestamp
    parts = (
        ()
        if time is None
        else (time.year, time.month, time.day, time.hour, time.minute, time.second)
    )
    made = "-".join(f"{part or 0:02}" for part in parts)
    return Record("", measurement.sequence_number, made)


def fetch_records(options: Options) -> Exchange:
    """Ask for the records that were not taken yet."""
    return fetch_new(options.records, lambda record: by_number(minimum=record.number))


PROFILE = Profile(
    name="glucose",
    service="1808",
    characteristics=(
        Characteristic("2a18", Glucose, decode_glucose, Use.STREAM),
        Characteristic("2a34", GlucoseContext, decode_glucose_context, Use.STREAM),
        Characteristic("2a51", GlucoseFeature, decode_glucose_feature, Use.STATIC),
        RECORD_ACCESS,
    ),
    state=GlucoseState,
    opening=Opening("2a52", fetch_records, abort=abort()),
)
