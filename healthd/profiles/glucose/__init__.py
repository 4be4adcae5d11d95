"""Glucose service (0x1808): a meter that stores its results, and their contexts.

A meter sends its records on request (see ``racp``), so healthd asks once per link for those that it
has not fetched yet. Each result has a sequence number, and its context has the same one.
Layouts: Glucose Service 1.0 and the GATT Specification Supplement.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, get_args

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.glucose_values import (
    KG_PER_L,
    MOL_PER_L,
    GlucoseResult,
    GlucoseStatus,
    later,
    sample,
    seconds,
)
from healthd.profiles.common.racp import RECORD_ACCESS, RecordAccess, abort, by_number
from healthd.profiles.common.stored import Transfer, fetch_new
from healthd.profiles.dialogue import Exchange, Opening
from healthd.profiles.glucose.context import (
    GlucoseContext,
    decode_glucose_context,
)
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Fact, Field, Layout, bit, both, no_bit
from healthd.profiles.packet.wires import DATE_TIME, S16, U8, U16, words
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, Record

# The fields of a result that are added to its context.
_JOINED = GlucoseResult.model_fields.keys() - Measurement.model_fields.keys()

# More than a meter stores (500 to 1000 results), so a context finds its result even if all contexts
# are sent after all results.
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
    """Whether a ``glucose_context`` with the same number follows."""


class GlucoseFeature(Measurement):
    """What the meter can report."""

    kind: ClassVar[str] = "glucose_feature"

    features: list[Feature]


_OFFSET = 0x01

_GLUCOSE = Layout(
    Field("sequence_number", U16, required=True),
    Field("base_time", DATE_TIME, meaning=date_text, required=True),
    Field("time_offset_s", S16, bit(0), seconds),
    Field("glucose_mmol_per_l", KG_PER_L, both(bit(1), no_bit(2))),
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
    """Decode 2A18: flags u8, number u16, time, then by the flags.

    The flags announce: offset s16 (min), SFLOAT kg/L or mol/L and sample u8, status u16.
    """
    fields = _GLUCOSE.read(data)
    if offset_s := fields.get("time_offset_s"):
        fields["device_time"] = later(fields["base_time"], offset_s)
    elif offset_s == 0 or not data[0] & _OFFSET:
        fields["device_time"] = fields["base_time"]
    # Otherwise the packet ends inside the offset: without it, the time may be wrong by hours.
    return Glucose.of(fields)


def decode_glucose_feature(data: bytes) -> GlucoseFeature:
    """Decode 2A51: bits u16."""
    return GlucoseFeature.of(_FEATURE.read(data))


class GlucoseState:
    """Keeps the results for the contexts that follow them, during one link."""

    def __init__(self, options: Options) -> None:
        """Start without a result."""
        options.records.enter_series("")
        self._results: dict[int, dict[str, Any]] = {}
        self._transfer = Transfer()

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return a result as it is, a context with its result's values, and no control messages.

        The newest stored one is returned after the last one.
        """
        match measurement:
            case RecordAccess():
                return self._transfer.on_message(measurement)
            case Glucose():
                self._remember(measurement)
            case GlucoseContext():
                result = self._results.get(measurement.sequence_number, {})
                measurement = measurement.model_copy(update=result)
            case _:
                return (Timed(measurement, mono_ns),)
        return self._transfer.add(Timed(measurement, mono_ns, _record(measurement)))

    def end(self) -> Iterable[Timed]:
        """Return the newest of the stored ones that arrived before the link ended."""
        return self._transfer.end()

    def _remember(self, result: Glucose) -> None:
        # Removed first, so that a repeated number becomes the newest.
        self._results.pop(result.sequence_number, None)
        self._results[result.sequence_number] = {
            key: getattr(result, key) for key in _JOINED & result.model_fields_set
        }
        if len(self._results) > _REMEMBERED:
            del self._results[next(iter(self._results))]


def _record(measurement: Glucose | GlucoseContext) -> Record:
    """Identify it by its number and its base time, which does not change when the user travels."""
    # In the form of earlier versions, which did not have the time as one text: the records that
    # they fetched stay known.
    made = (measurement.base_time or "").replace("T", "-").replace(":", "-")
    return Record("", measurement.sequence_number, made)


def fetch_records(options: Options) -> Exchange:
    """Ask for the records that were not fetched yet."""
    return fetch_new(options.records, lambda record: by_number(minimum=record.number))


PROFILE = Profile(
    name="glucose",
    service="1808",
    characteristics=(
        Characteristic("2a18", Glucose, decode_glucose, Use.STREAM),
        Characteristic(
            "2a34", GlucoseContext, decode_glucose_context, Use.STREAM, accompanies=True
        ),
        Characteristic("2a51", GlucoseFeature, decode_glucose_feature, Use.STATIC),
        RECORD_ACCESS,
    ),
    state=GlucoseState,
    opening=Opening("2a52", fetch_records, abort=abort()),
)
