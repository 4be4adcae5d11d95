"""The JSON that a gateway publishes besides samples: about itself, its devices, and responses."""

from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field

from healthd.events import FetchOutcome
from healthd.samples import quantity

# The contract with users: a gateway that is silent for longer than this has a problem.
HEALTH_PERIOD_S = 60.0

SessionState = Literal["disabled", "searching", "connecting", "preparing", "streaming", "waiting"]

Count = Annotated[int, Field(ge=0), quantity("1")]


class Payload(BaseModel):
    """Base of all payloads: one JSON object at a topic of its own.

    An unknown value is left out: defaults are never published.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: ClassVar[str]
    """The payload's name in the schema; the MQTT 5 user property ``schema`` begins with it."""
    schema_version: ClassVar[int] = 1
    """Raised when a published key changes its meaning or is removed."""
    retained: ClassVar[bool] = True
    """Whether the broker keeps it for later subscribers."""
    expires_s: ClassVar[int | None] = None
    """Seconds after which a broker that speaks MQTT 5 discards it; None: never."""

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """Validate these fields and return their payload."""
        return cls.model_validate(fields)

    def encoded(self) -> bytes:
        """Return the payload as JSON; NaN becomes null."""
        return orjson.dumps(self.model_dump(exclude_unset=True))

    @property
    def schema_name(self) -> str:
        """Name and version, such as ``health/1``."""
        return f"{self.kind}/{self.schema_version}"


class GatewayInfo(Payload):
    """Facts about a gateway."""

    kind: ClassVar[str] = "info"

    version: str
    """healthd's version."""
    build: str = ""
    """The commit that healthd was built from, such as ``0f4ddd8``; absent if it is not known.

    Followed by ``-modified`` if the code differed from the commit.
    """
    host: str
    """The machine's host name."""
    run: str
    """Id of this run of the daemon; the ids of its samples begin with it."""
    profiles: list[str]
    """The profiles that it can read."""
    peripherals: list[str]
    """Ids of the peripherals in the settings."""
    adapters: list[str]
    """BlueZ's names of the present Bluetooth adapters that it may use."""
    requests: list[str]
    """The verbs of the requests that it accepts."""


class Radio(BaseModel):
    """How long the radio was in use since the start."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    scan_s: Annotated[float, Field(ge=0), quantity("s")]
    scan_duty_pct: Annotated[float, Field(ge=0, le=100), quantity("%")]
    """Share of the time in which it scanned."""
    linked_s: dict[str, Annotated[float, Field(ge=0), quantity("s")]]
    """Seconds that each peripheral was linked."""


class OutboxHealth(BaseModel):
    """The samples that wait for the broker."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    state: Literal["ok", "degraded"]
    """``degraded``: the disk fails, and samples are kept in memory only."""
    in_memory: Count
    on_disk: Count
    payload_bytes: Annotated[int, Field(ge=0), quantity("By")]
    """Size of the samples on disk."""
    age_s: Annotated[float, quantity("s")]
    """Age of the oldest sample on disk, by the wall clock; 0 without one."""
    evicted: Count
    """Samples that were dropped undelivered since the start, because the outbox was full."""
    streams: dict[str, Count]
    """Samples on disk by ``<peripheral>/<stream>``."""
    parked: list[str]
    """Topics that the broker refuses."""


class GatewayHealth(Payload):
    """Counters of a gateway, renewed every minute and when a device goes online or offline."""

    kind: ClassVar[str] = "health"
    # Two renewals may be missed; older counters no longer describe the gateway.
    expires_s: ClassVar[int | None] = round(3 * HEALTH_PERIOD_S)

    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """UTC, six decimals."""
    uptime_s: Annotated[int, Field(ge=0), quantity("s")]
    resident_bytes: Annotated[int, Field(ge=0), quantity("By")]
    open_files: Count
    log_lines_lost: Count
    """Log lines that could not be written: a full disk, or nothing reads standard error."""
    links: dict[SessionState, Count]
    """Number of peripherals by the state of their session."""
    radio: Radio
    outbox: OutboxHealth


class FetchHealth(BaseModel):
    """How the last run of a periodic peripheral went, and when the next one is due."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    outcome: FetchOutcome = "no_data"
    reason: str | None = None
    """Why it failed or brought nothing."""
    next_due: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = ""
    """UTC, six decimals."""


class DeviceInfo(Payload):
    """Facts about a device, and the state of its link, or whether it is heard.

    Further keys hold the facts that the device reported about itself on its last link.
    """

    # Which facts a device reports depends on its profiles: the schema adds those of the registry.
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    kind: ClassVar[str] = "device_info"

    state: SessionState
    reason: str = ""
    """Why the session is in this state, such as ``link_lost``; absent if there is no reason.

    While it streams: why nothing comes, such as ``no_data`` or ``key_missing``.
    """
    name: str | None = None
    """The name that it advertises; null if it has none."""
    profiles: list[str] = Field(default_factory=list[str])
    """The profiles that were found on the device, or in its advertisements, and are read."""
    bonded: bool = False
    """Whether BlueZ holds a bond with the device."""
    left_out: list[str] = Field(default_factory=list[str])
    """UUIDs of what is not read or subscribed on this link, because that ended an earlier one.

    Absent if there are none.
    """
    controlled: bool = False
    """Whether requests control the fitness machine; absent if they never did on this link."""
    fetch: FetchHealth = Field(default_factory=FetchHealth)


class DeviceAnnouncement(Payload):
    """A gateway or a device with its entities, in Home Assistant's discovery format."""

    kind: ClassVar[str] = "homeassistant_device"

    dev: dict[str, str | list[str]]
    """The device."""
    o: dict[str, str]
    """The origin: healthd and its version."""
    qos: int
    avty: list[dict[str, str]] = Field(default_factory=list[dict[str, str]])
    """The topics that show whether it is available."""
    avty_mode: Literal["all"] = "all"
    cmps: dict[str, dict[str, Any]]
    """Its entities, by ids that never change."""


class Response(Payload):
    """The result of a request; each request gets one response."""

    kind: ClassVar[str] = "response"
    retained: ClassVar[bool] = False

    status: Literal["ok", "error"]
    error: str = ""
    """What was found and what is expected, or why it failed; absent on success."""
    data: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The result; absent on an error."""
    transaction: str | int | float = ""
    """The transaction of the request; absent if it had none."""
