"""What was measured (``Measurement``), and who measured it, when, with which id (``Sample``)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

ClockState = Literal["synced", "unsynced"]

# The envelope's keys and a measurement's keys share one flat JSON object, so a measurement that
# used one of these would silently overwrite the sample's identity.
ENVELOPE_KEYS = frozenset({"id", "time", "clock", "seq"})


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def quantity(unit: str, *, mdc: int | None = None, loinc: str | None = None) -> FieldInfo:
    """Describe a numeric field; stands beside its type in ``Annotated``.

    Args:
        unit: UCUM code of the unit that the field's key ends with (``1`` for a bare number).
        mdc: IEEE 11073-10101 code, partition x 65536 + term, where one is certain.
        loinc: LOINC code, where one is certain.
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

    A field that is ``None`` means that the device said "not available"; a field that was not in
    the packet is left unset and does not appear in the payload at all. Subclasses name
    themselves; their name is the last level of their MQTT topic.
    """

    # Built when the first one is made: a gateway hears a few of a hundred kinds, and is spared
    # 3 MB and half of the time that it takes to import them.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: ClassVar[str]
    """Name of the measurement and last level of its topic, such as ``heart_rate``."""
    schema_version: ClassVar[int] = 1
    """Raised when a published key changes its meaning or goes away."""
    retained: ClassVar[bool] = False
    """True for episodic results (battery, weight); a stale heart rate must not look fresh."""
    identifies: ClassVar[bool] = False
    """True where it says who the device is: its fields stand beside the device's name."""

    truncated: bool = False
    """True where the packet ended before the fields that its flags promised."""
    trailing_bytes: int = Field(default=0, ge=0, json_schema_extra={"unit": "1"})
    """Surplus bytes behind the last field: counted, not refused."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse, at import, a measurement that would overwrite the sample's envelope."""
        super().__pydantic_init_subclass__(**kwargs)
        if reserved := ENVELOPE_KEYS & cls.model_fields.keys():
            names = ", ".join(sorted(reserved))
            raise TypeError(f"{cls.__name__}: {names} belong to the sample's envelope")

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """The measurement that has these fields, validated.

        By way of pydantic's core: calling the class costs 0.7 us more, a sixth of a decoding.
        """
        made: Self = cls.__pydantic_validator__.validate_python(fields)
        return made

    def fields(self) -> dict[str, Any]:
        """The keys that the packet held, ready for JSON."""
        # Past model_dump, which costs as much again.
        dumped: dict[str, Any] = self.__pydantic_serializer__.to_python(self, exclude_unset=True)
        return dumped


@dataclass(slots=True)  # not frozen, as every dated packet makes one: 0.2 us instead of 0.7
class Timestamp:
    """What a device's own clock said, part by part; None is a part that it does not know."""

    year: Annotated[int | None, quantity("a")]
    month: Annotated[int | None, quantity("1")]
    day: Annotated[int | None, quantity("1")]
    hour: Annotated[int, quantity("1")]
    minute: Annotated[int, quantity("1")]
    second: Annotated[int, quantity("1")]


class DeviceTimed(Measurement):
    """A measurement that the device itself may have dated."""

    device_time: str | None = None
    """ISO 8601 without a zone, as the device's clock says; None where a part is unknown."""
    timestamp: Timestamp | None = None


class Stamp(NamedTuple):
    """One instant on both clocks, taken in the notification callback.

    Attributes:
        wall_ns: Unix time in nanoseconds, as good as ``clock`` says.
        mono_ns: CLOCK_MONOTONIC in nanoseconds; only this one is ever waited on.
        clock: whether the wall clock was synchronised at that instant.
    """

    wall_ns: int
    mono_ns: int
    clock: ClockState

    def earlier(self, by_ns: int) -> "Stamp":
        """The instant that lies so many nanoseconds before; negative: behind it."""
        return Stamp(self.wall_ns - by_ns, self.mono_ns - by_ns, self.clock)


class Record(NamedTuple):
    """Where a result stands in the memory of the device that stores it: two equal ones are one.

    Attributes:
        series: what its number counts in, such as the session of a monitor; empty where a number
            stands for itself.
        number: its place, ascending; 0 where the device has no numbers.
        made: the time by the device's clock, and whatever else tells it from others of its number.
    """

    series: str
    number: int
    made: str


Taken = tuple[str, Record]
"""A stream's name, and a record of it that became a sample."""


class Sample(NamedTuple):
    """A measurement with who, when and an id that is unique within its stream.

    Attributes:
        peripheral: id of the peripheral, as in the settings; empty for the gateway's own events.
        stream: measurement kind, or ``undecoded/<uuid>``: the topic below the peripheral's; for
            events ``event/<kind>``: the topic below the gateway's.
        run: id of this run of the daemon, shared by all its samples.
        seq: position within the stream in this run, counted from 1, without holes.
        stamp: when it was measured: its arrival, or an earlier moment where that is known better.
        measurement: what was measured.
        delay_ns: how long after ``stamp`` it arrived.
        record: where it stands in its device's memory, where it has one.
        stored: it was fetched from there, and belongs to the history.
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
        """Arrival on the monotonic clock: from here on it is in our care."""
        return self.stamp.mono_ns + self.delay_ns

    @property
    def id(self) -> str:
        """The stable id: a second delivery of the same sample carries the same one."""
        return f"{self.run}-{self.seq}"

    @property
    def schema(self) -> str:
        """Name and version of the payload's keys, such as ``heart_rate/1``."""
        return f"{self.measurement.kind}/{self.measurement.schema_version}"

    def payload(self, stamp: Stamp | None = None) -> bytes:
        """The sample as flat JSON, envelope first; NaN becomes null.

        Args:
            stamp: replaces its own, where the wall time is known better by now.
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


def utc_text(wall_ns: int) -> str:
    """Unix nanoseconds as ``2026-11-24T02:03:31.123456Z``: always six decimals, always UTC."""
    # strftime takes twice as long, 1 us a sample; a float would not hold the microseconds.
    instant = _EPOCH + timedelta(microseconds=wall_ns // 1000)
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")
