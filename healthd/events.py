"""Events about the gateway itself: its own measurements, published on ``event/<kind>``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from healthd.samples import Measurement, quantity


class Gap(Measurement):
    """A stretch of a stream that is missing, and why.

    If their numbers are known, ``first_seq`` and ``last_seq`` name the missing samples. If not
    (nothing arrived, or the numbers cannot be known), ``first`` and ``last`` are the samples around
    the stretch.
    """

    kind: ClassVar[str] = "gap"

    peripheral: str
    stream: str
    reason: str
    """Why: ``link_lost``, ``stalled``, ``silent``, ``adapter_off``, ``stopped``, …"""
    first: str
    """UTC. Nothing before this time is missing."""
    last: str
    """UTC. Nothing after this time is missing."""
    run: str
    """The run whose samples are missing."""
    first_seq: Annotated[int | None, Field(ge=1), quantity("1")] = None
    last_seq: Annotated[int | None, Field(ge=1), quantity("1")] = None
    count: Annotated[int | None, Field(ge=1), quantity("1")] = None
    filled: Annotated[int | None, Field(ge=1), quantity("1")] = None
    """Samples of the stretch that the device had stored; they are in the stream's history."""


OutboxChange = Literal[
    "corrupt", "damaged", "other_version", "deleted", "degraded", "recovered", "parked", "unparked"
]


class OutboxEvent(Measurement):
    """The outbox changed state."""

    kind: ClassVar[str] = "outbox"

    change: OutboxChange
    detail: str


class ClockEvent(Measurement):
    """The wall clock was stepped, or became synchronised."""

    kind: ClassVar[str] = "clock"

    change: Literal["step", "synced"]
    step_s: Annotated[float, quantity("s")]
    """Positive: the clock moved forward; negative: back."""


class LinkEvent(Measurement):
    """A peripheral's link began to stream, or ended.

    For a device that only advertises: it was heard, or is not heard any more.
    """

    kind: ClassVar[str] = "link"

    peripheral: str
    change: Literal["up", "down"]
    reason: str | None = None
    """Why it ended: ``link_lost``, ``stalled``, ``silent``, ``adapter_off``, ``bluez_gone``, …"""
    left_out: Annotated[int | None, Field(ge=1), quantity("1")] = None
    """How many links came and went before this one without events, because they were too many."""


FetchOutcome = Literal["new_data", "no_data", "failed", "timeout"]


class FetchEvent(Measurement):
    """A run of a periodic peripheral is over."""

    kind: ClassVar[str] = "fetch"

    peripheral: str
    fetch_run: str
    """The run's id."""
    outcome: FetchOutcome
    reason: str | None = None
    """Why: ``not_seen``, ``no_slot``, ``unfinished``, ``link_lost``, ``connect_aborted``, …"""
    duration_s: Annotated[float, Field(ge=0), quantity("s")]
    samples: Annotated[int, Field(ge=0), quantity("1")]
    """Number of samples that the run brought, without ``intermediate_…``."""
    due: str
    """UTC. The time that the run was scheduled for."""


AdapterChange = Literal[
    "on",
    "off",
    "gone",
    "bluez_gone",
    "bluez_back",
    "dbus_lost",
    "orphan",
    "power_on",
    "rescan",
    "power_cycle",
    "reset",
    "broken",
    "moved",
]


class AdapterEvent(Measurement):
    """An adapter or BlueZ changed state, or healthd took a recovery step."""

    kind: ClassVar[str] = "adapter"

    change: AdapterChange
    adapter: str
    """BlueZ's name for the adapter, such as ``hci0``; empty if all are meant."""
    detail: str


ControlChange = Literal[
    "granted",
    "set",
    "started",
    "stopped",
    "reset",
    "refused",
    "released",
    "release_failed",
    "lost",
]


class ControlEvent(Measurement):
    """The outcome of a request to a peripheral, or a change of who controls it."""

    kind: ClassVar[str] = "control"

    peripheral: str
    change: ControlChange
    """``granted`` to ``refused`` concern a request; ``reset``: a counter was set back to zero."""
    verb: str | None = None
    """What was requested; absent if nothing was."""
    reason: str | None = None
    """Why, in one word: ``out_of_range``, ``busy``, ``lease``, ``stop``, ``link_lost``, …"""
    detail: str | None = None
    """Why, in a sentence: what was found, and what would be accepted."""
    power_w: Annotated[int | None, quantity("W")] = None
    resistance_level: Annotated[float | None, quantity("1")] = None
    speed_mps: Annotated[float | None, quantity("m/s")] = None
    inclination_pct: Annotated[float | None, quantity("%")] = None
    grade_pct: Annotated[float | None, quantity("%")] = None
    wind_speed_mps: Annotated[float | None, quantity("m/s")] = None
    """Positive: headwind; negative: tailwind."""
    crr: Annotated[float | None, quantity("1")] = None
    """Coefficient of rolling resistance."""
    cw_kg_per_m: Annotated[float | None, quantity("kg/m")] = None
    """Coefficient of wind resistance."""
