"""Records of a trainer, made of its pages, and what it says about itself."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, NamedTuple

from healthd.profiles.common.counters import Unrolled
from healthd.profiles.fitness_machine.records import Power, Speed
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.vendor.fec.pages import (
    CAPABILITIES,
    COMMAND_STATUS,
    GENERAL,
    MANUFACTURER,
    PRODUCT,
    SETTINGS,
    TRAINER,
    Calibration,
    CommandStatus,
    Equipment,
    FecPage,
    HeartRateSource,
    Mode,
    State,
    TargetState,
)
from healthd.samples import Measurement, quantity

# Trainers send four pages a second, and each of these at least once a second.
_FRESH_NS = 3_000_000_000

# A trainer may send a page several times. One that is unchanged for longer is news again: a rider
# who stands still does not change it.
_REPEATED_NS = 900_000_000

_QUARTERS_PER_S = 4


class BikeTrainer(Measurement):
    """What a bike trainer measures, once for each update; keys as in ``indoor_bike``."""

    kind: ClassVar[str] = "bike_trainer"

    speed_mps: Speed = None
    speed_is_virtual: bool | None = None
    """Whether the trainer computes the speed of a simulated ride."""
    cadence_rpm: Annotated[float | None, quantity("/min", mdc=8454255)] = None
    total_distance_m: Annotated[int | None, quantity("m", mdc=8454247)] = None
    """Counted on at 256 m, within one link; absent if the trainer does not count it."""
    power_w: Power = None
    accumulated_power_w: Annotated[int | None, quantity("W")] = None
    """The sum of the powers of all events; counted on at 65536 W, within one link."""
    event_count: Annotated[int | None, quantity("1")] = None
    """How many powers were added; counted on at 256, within one link."""
    heart_rate_bpm: Annotated[int | None, quantity("/min", mdc=8454258, loinc="8867-4")] = None
    """``null`` if the trainer receives no heart rate."""
    heart_rate_source: HeartRateSource | None = None
    elapsed_time_s: Annotated[float | None, quantity("s")] = None
    """Counted on at 64 s, within one link."""
    resistance_pct: Annotated[float | None, quantity("%")] = None
    """Of the greatest resistance."""
    grade_pct: Annotated[float | None, quantity("%")] = None
    state: State | int | None = None
    target_state: TargetState | None = None
    """Whether the target power is reached, and if not, what the wheel is."""
    calibration_needed: list[Calibration] | None = None
    equipment: Equipment | int | None = None


class TrainerCapabilities(Measurement):
    """What a trainer says it can do."""

    kind: ClassVar[str] = "trainer_capabilities"
    is_event: ClassVar[bool] = True

    max_resistance_n: Annotated[int | None, quantity("N")]
    modes: list[Mode]


class TrainerCommand(Measurement):
    """The result of the last command that the trainer has got, from any client."""

    kind: ClassVar[str] = "trainer_command"
    is_event: ClassVar[bool] = True

    command_page: Annotated[int | None, quantity("1")]
    """``null``: none yet."""
    command_sequence: Annotated[int | None, quantity("1")]
    command_status: CommandStatus | int
    command_data: str
    """Hex: the last four bytes of the command's page."""


class TrainerManufacturer(Measurement):
    """Who has made a trainer, as numbers of ANT+."""

    kind: ClassVar[str] = "trainer_manufacturer"
    is_event: ClassVar[bool] = True

    hardware_revision: Annotated[int, quantity("1")]
    manufacturer_number: Annotated[int, quantity("1")]
    """89 is Tacx."""
    model_number: Annotated[int, quantity("1")]


class TrainerProduct(Measurement):
    """The software and the serial number of a trainer."""

    kind: ClassVar[str] = "trainer_product"
    is_event: ClassVar[bool] = True

    software_revision: Annotated[int, quantity("1")]
    software_supplement: Annotated[int | None, quantity("1")]
    serial_number: Annotated[int | None, quantity("1")]


_NEWS: dict[int, type[Measurement]] = {
    CAPABILITIES: TrainerCapabilities,
    COMMAND_STATUS: TrainerCommand,
    MANUFACTURER: TrainerManufacturer,
    PRODUCT: TrainerProduct,
}

DERIVED = (BikeTrainer, *_NEWS.values())

_ABOUT_THE_PAGE = frozenset({"page", "name", "trailing_bytes"})


class _Part(NamedTuple):
    """What one page has added to the record, and when it came."""

    fields: dict[str, Any]
    mono_ns: int


class Pages:
    """Joins the pages of one trainer on one link.

    The page with the power makes a record, with what the other two have said shortly before. A
    machine that does not send it has a record for each general page.
    """

    def __init__(self, options: Options) -> None:
        """Start without a page. No option has an effect."""
        del options
        self._parts: dict[int, _Part] = {}
        self._known: dict[int, dict[str, Any]] = {}
        self._last: _Part | None = None
        self._since_ns = 0
        self._elapsed = Unrolled(64 * _QUARTERS_PER_S)
        self._distance = Unrolled(256)
        self._accumulated = Unrolled(65_536)
        self._events = Unrolled(256)

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return what to publish after a page: a record, what is new otherwise, or nothing."""
        if not isinstance(measurement, FecPage):
            return [Timed(measurement, mono_ns)]
        page = measurement.page
        if page in (GENERAL, SETTINGS, TRAINER):
            return self._take_part(page, measurement, mono_ns)
        if page in _NEWS:
            return self._take_news(page, measurement, mono_ns)
        return ()

    def _take_part(self, page: int, measurement: FecPage, mono_ns: int) -> list[Timed]:
        fields = _fields_of(measurement)
        self._since_ns = self._since_ns or mono_ns
        self._parts[page] = part = _Part(self._counted_on(fields), mono_ns)
        if page == TRAINER:
            last, is_new = self._last, True
            if last is not None and last.fields == fields:
                is_new = mono_ns - last.mono_ns >= _REPEATED_NS
            if not is_new:
                return []
            self._last = _Part(fields, mono_ns)
        elif page == SETTINGS or TRAINER in self._parts or mono_ns - self._since_ns < _FRESH_NS:
            return []
        joined = {
            key: value
            for other in self._parts.values()
            if mono_ns - other.mono_ns <= _FRESH_NS
            for key, value in other.fields.items()
        }
        # Each page has the state; that of this one is the newest.
        return [Timed(BikeTrainer.of(joined | part.fields), mono_ns)]

    def _counted_on(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a record: counters that wrap are counted on."""
        if fields.get("state") in ("off", "ready"):
            # A ride that begins starts from zero.
            self._elapsed.forget()
            self._distance.forget()
        made = {key: value for key, value in fields.items() if key in BikeTrainer.model_fields}
        if (elapsed_s := fields.get("elapsed_time_s")) is not None:
            quarters = self._elapsed.update(round(elapsed_s * _QUARTERS_PER_S))
            made["elapsed_time_s"] = quarters / _QUARTERS_PER_S
        if (distance := fields.get("distance_m")) is not None:
            made["total_distance_m"] = self._distance.update(distance)
        if (power := fields.get("accumulated_power_w")) is not None:
            made["accumulated_power_w"] = self._accumulated.update(power)
        if (events := fields.get("event_count")) is not None:
            made["event_count"] = self._events.update(events)
        return made

    def _take_news(self, page: int, measurement: FecPage, mono_ns: int) -> list[Timed]:
        fields = _fields_of(measurement)
        if self._known.get(page) == fields:
            return []
        self._known[page] = fields
        made = _NEWS[page].of(fields)
        return [Timed(made, mono_ns, fact=True), Timed(made, mono_ns)]


def _fields_of(measurement: FecPage) -> dict[str, Any]:
    return {key: value for key, value in measurement.fields().items() if key not in _ABOUT_THE_PAGE}
