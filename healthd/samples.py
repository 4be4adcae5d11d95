"""Measurements, and samples: a measurement with its peripheral, its time and its id."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar, Literal, NamedTuple, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

ClockState = Literal["synced", "unsynced"]

# The envelope and the measurement share one flat JSON object, so a measurement with one of these
# keys would silently overwrite the sample's identity.
ENVELOPE_KEYS = frozenset({"id", "time", "clock", "seq"})


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The first and the last time that a text of ISO 8601 with four digits of a year can hold.
_FIRST_TEXT, _LAST_TEXT = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"

LONGEST_DELAY_NS = 86_400 * 1_000_000_000
"""The longest time from a measurement to its arrival. A result is held back for at most the hour
that a device's memory may take to transfer; a day leaves room, and no place for nonsense."""

# While the error of a late first frame is being removed, samples are placed this much too late.
_AHEAD_NS = 100_000_000

# SQLite's integers have 64 bits with a sign: a greater time could not be stored.
_GREATEST_NS = 2**63 - 1


def quantity(unit: str, *, mdc: int | None = None, loinc: str | None = None) -> FieldInfo:
    """Describe a numeric field; use it with the field's type in ``Annotated``.

    Args:
        unit: UCUM code of the unit that the field's key ends with (``1`` for a bare number).
        mdc: IEEE 11073-10101 code, partition x 65536 + term; None if none is certain.
        loinc: LOINC code; None if none is certain.
    """
    codes: dict[str, Any] = {"unit": unit}
    if mdc is not None:
        codes["mdc"] = mdc
    if loinc is not None:
        codes["loinc"] = loinc
    # FieldInfo rather than Any: the annotation stays checkable by pyright.
    info: FieldInfo = Field(json_schema_extra=codes)
    return info


class Measurement(BaseModel):
    """Base of everything a decoder returns: one unit per quantity, the unit in the key.

    A field that is ``None`` means that the device reported "not available"; a field that was not in
    the packet is left unset and does not appear in the payload at all. Each subclass has a name,
    which is the last level of its MQTT topic.
    """

    # Built with the first instance: a gateway receives a few of a hundred kinds, and saves 3 MB and
    # half of the time to import them.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: ClassVar[str]
    """Name of the measurement and last level of its topic, such as ``heart_rate``."""
    schema_version: ClassVar[int] = 1
    """Incremented when a published key changes its meaning or is removed."""
    retained: ClassVar[bool] = False
    """True for episodic results (battery, weight); an old heart rate must not look current."""
    intermediate: ClassVar[bool] = False
    """True for values that a device shows during a measurement; a result follows them."""
    is_event: ClassVar[bool] = False
    """True for what happens once and holds until the next one: the newest is in the device's info.
    """
    identifies: ClassVar[bool] = False
    """True if it identifies the device: its fields are published next to the device's name."""

    truncated: bool = False
    """True if the packet ended before all fields that its flags announce."""
    trailing_bytes: int = Field(default=0, ge=0, json_schema_extra={"unit": "1"})
    """Number of extra bytes after the last field; they are ignored."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse, at import, a measurement that would overwrite the sample's envelope."""
        super().__pydantic_init_subclass__(**kwargs)
        if reserved := ENVELOPE_KEYS & cls.model_fields.keys():
            names = ", ".join(sorted(reserved))
            raise TypeError(f"{cls.__name__}: {names} belong to the sample's envelope")

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """Make a measurement of these fields, validated.

        Calls pydantic's core: calling the class takes 0.7 us more, a sixth of a decoding.
        """
        made: Self = cls.__pydantic_validator__.validate_python(fields)
        return made

    def with_derived(self, added: dict[str, Any]) -> Self:
        """Return a copy with these fields as well, which healthd itself has computed.

        They are not validated, as with ``model_copy``, which takes 1.3 us more.
        """
        made = object.__new__(type(self))
        for name, value in (
            ("__dict__", self.__dict__ | added),
            ("__pydantic_fields_set__", self.__pydantic_fields_set__ | added.keys()),
            ("__pydantic_extra__", None),
            ("__pydantic_private__", None),
        ):
            object.__setattr__(made, name, value)
        return made

    def fields(self) -> dict[str, Any]:
        """Return the keys that the packet contained, ready for JSON."""
        # model_dump would take twice as long.
        dumped: dict[str, Any] = self.__pydantic_serializer__.to_python(self, exclude_unset=True)
        return dumped


class DeviceTimed(Measurement):
    """A measurement that may carry the time of the device's own clock."""

    schema_version: ClassVar[int] = 2

    device_time: str | None = None
    """By the device's clock: ISO 8601 without a zone, ``X`` for the digits of a part that the
    device does not know (``2026-11-XXT07:30:00``); ``null`` if it knows none."""


class Stamp(NamedTuple):
    """One instant on both clocks, taken in the notification callback.

    Attributes:
        wall_ns: Unix time in nanoseconds; ``clock`` says whether it can be trusted.
        mono_ns: CLOCK_MONOTONIC in nanoseconds; all waits use this one.
        clock: whether the wall clock was synchronised at that instant.
    """

    wall_ns: int
    mono_ns: int
    clock: ClockState

    def earlier(self, by_ns: int) -> "Stamp":
        """Return the instant ``by_ns`` nanoseconds earlier; negative: later."""
        return Stamp(self.wall_ns - by_ns, self.mono_ns - by_ns, self.clock)


def is_plausible(stamp: Stamp, delay_ns: int) -> bool:
    """Return whether a sample can have this time: not after its arrival, nor long before it.

    Args:
        stamp: when it was measured.
        delay_ns: how long after that it arrived.
    """
    wall_ns, mono_ns, _ = stamp
    return (
        -_AHEAD_NS <= delay_ns <= LONGEST_DELAY_NS
        and -LONGEST_DELAY_NS <= wall_ns <= _GREATEST_NS - LONGEST_DELAY_NS
        and -LONGEST_DELAY_NS <= mono_ns <= _GREATEST_NS - LONGEST_DELAY_NS
    )


def plausible(stamp: Stamp, delay_ns: int) -> Stamp:
    """Return the arrival of a sample whose own time is not plausible, as a time that fits."""
    wall_ns, mono_ns, clock = stamp.earlier(-delay_ns)
    return Stamp(_fit(wall_ns), _fit(mono_ns), clock)


def _fit(ns: int) -> int:
    return max(0, min(ns, _GREATEST_NS))


MOST_RECORDS = 4096
"""How many records of a device's stream are remembered. Meters for glucose store up to 1,000, and a
sensor that measures every 5 min for 14 days has 4,032."""


class Record(NamedTuple):
    """The identity of a result in the device's memory: equal records are the same result.

    Attributes:
        series: the series in which its number counts, such as the session of a monitor; empty if
            numbers are unique by themselves.
        number: its ascending number; 0 if the device has no numbers.
        made: the time by the device's clock, and anything else that distinguishes it from other
            records with its number.
    """

    series: str
    number: int
    made: str


Taken = tuple[str, Record]
"""The name of a stream, and one of its records that became a sample."""


class Sample(NamedTuple):
    """A measurement with its peripheral, its time, and an id that is unique within its stream.

    Attributes:
        peripheral: id of the peripheral, as in the settings; empty for the gateway's own events.
        stream: the topic below the peripheral's topic: the kind of measurement, or
            ``undecoded/<uuid>``; for events ``event/<kind>``, below the gateway's topic.
        run: id of this run of the daemon, shared by all its samples.
        seq: position within the stream in this run, counted from 1, without holes.
        stamp: when it was measured: its arrival, or an earlier moment if that is known.
        measurement: what was measured.
        delay_ns: how long after ``stamp`` it arrived.
        record: its identity in the device's memory; None if it has none.
        stored: it was fetched from the device's memory and belongs to the history.
    """

    peripheral: str
    stream: str
    run: str
    seq: int
    stamp: Stamp
    measurement: Measurement
    delay_ns: int = 0
    record: Record | None = None
    stored: bool = False

    @property
    def arrived_ns(self) -> int:
        """Arrival on the monotonic clock: healthd is responsible for it from then on."""
        return self.stamp.mono_ns + self.delay_ns

    @property
    def id(self) -> str:
        """The stable id: a second delivery of the same sample carries the same id."""
        return f"{self.run}-{self.seq}"

    @property
    def schema(self) -> str:
        """Name and version of the payload's keys, such as ``heart_rate/1``."""
        return f"{self.measurement.kind}/{self.measurement.schema_version}"

    def payload(self, stamp: Stamp | None = None) -> bytes:
        """Return the sample as flat JSON, envelope first; NaN becomes null.

        Args:
            stamp: replaces its own stamp, if a better wall time is known by now.
        """
        stamp = stamp or self.stamp
        return orjson.dumps(
            {
                "id": self.id,
                "time": utc_text(stamp.wall_ns),
                "clock": stamp.clock,
                "seq": self.seq,
                **self.measurement.fields(),
            }
        )


def whole_time(device_time: str | None) -> datetime | None:
    """Return a ``device_time`` as a datetime without a zone; None if it is absent or incomplete."""
    if device_time is None:
        return None
    try:
        return datetime.fromisoformat(device_time).replace(tzinfo=None)
    except ValueError:
        return None


def utc_text(wall_ns: int) -> str:
    """Format Unix nanoseconds as ``2026-11-24T02:03:31.123456Z``: six decimals, UTC.

    A time outside the years 1 to 9999, which only damaged data has, becomes the nearest one.
    """
    seconds, ns = divmod(wall_ns, 1_000_000_000)
    try:
        return f"{_second_text(seconds)}.{ns // 1000:06d}Z"
    except OverflowError:
        return _FIRST_TEXT if wall_ns < 0 else _LAST_TEXT


# Samples of many streams share a second; to format it again takes 0.7 us.
@lru_cache(maxsize=8)
def _second_text(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")
