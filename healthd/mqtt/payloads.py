"""What a gateway publishes as JSON beside its samples: of itself, of devices, and to who asks."""

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
    """Base of them: one JSON object at a topic of its own.

    A key that is not known is absent: defaults are never published.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: ClassVar[str]
    """Its name in the schema; the MQTT 5 user property ``schema`` begins with it."""
    schema_version: ClassVar[int] = 1
    """Raised when a published key changes its meaning or goes away."""
    retained: ClassVar[bool] = True
    """Whether the broker keeps it for later subscribers."""
    expires_s: ClassVar[int | None] = None
    """After so many seconds a broker that speaks MQTT 5 forgets it; None: never."""

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """The payload that has these keys, validated."""
        return cls.model_validate(fields)

    def encoded(self) -> bytes:
        """As JSON; NaN becomes null."""
        return orjson.dumps(self.model_dump(exclude_unset=True))

    @property
    def schema_name(self) -> str:
        """Name and version of its keys, such as ``health/1``."""
        return f"{self.kind}/{self.schema_version}"


class GatewayInfo(Payload):
    """What a gateway is."""

    kind: ClassVar[str] = "info"

    version: str
    """Of healthd."""
    build: str = ""
    """The commit that it was made from, such as ``0f4ddd8``; absent where that is not known.

    ``-modified`` stands behind it where the code differed from the commit.
    """
    host: str
    """Name of the machine."""
    run: str
    """Id of this run of the daemon; the ids of its samples begin with it."""
    profiles: list[str]
    """What it can read."""
    peripherals: list[str]
    """Ids of the settings."""
    adapters: list[str]
    """BlueZ's names of the Bluetooth adapters that it may use and that are there."""
    requests: list[str]
    """The verbs that it may be asked for."""


class Radio(BaseModel):
    """How long the radio was on since the start."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    scan_s: Annotated[float, Field(ge=0), quantity("s")]
    linked_s: dict[str, Annotated[float, Field(ge=0), quantity("s")]]
    """By peripheral."""


class OutboxHealth(BaseModel):
    """What waits for the broker."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    state: Literal["ok", "degraded"]
    """``degraded``: the disk fails, and memory alone keeps samples."""
    in_memory: Count
    on_disk: Count
    payload_bytes: Annotated[int, Field(ge=0), quantity("By")]
    """Of the samples on disk."""
    age_s: Annotated[float, quantity("s")]
    """Of the oldest sample on disk, by the wall clock; 0 without one."""
    evicted: Count
    """Samples that had to leave undelivered since the start: the outbox was full."""
    streams: dict[str, Count]
    """Samples on disk by ``<peripheral>/<stream>``."""
    parked: list[str]
    """Topics that the broker refuses."""


class GatewayHealth(Payload):
    """Counters of a gateway, renewed every minute."""

    kind: ClassVar[str] = "health"
    # Two renewals may be late; what is older than that says nothing of the gateway as it is.
    expires_s: ClassVar[int | None] = round(3 * HEALTH_PERIOD_S)

    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """UTC, six decimals."""
    uptime_s: Annotated[int, Field(ge=0), quantity("s")]
    resident_bytes: Annotated[int, Field(ge=0), quantity("By")]
    open_files: Count
    links: dict[SessionState, Count]
    """Peripherals by the state of their session."""
    radio: Radio
    outbox: OutboxHealth


class FetchHealth(BaseModel):
    """How the last run of a periodic peripheral went, and when the next one is due."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    outcome: FetchOutcome = "no_data"
    reason: str | None = None
    """Why, where it failed or brought nothing."""
    next_due: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = ""
    """UTC, six decimals."""


class DeviceInfo(Payload):
    """What is known of a device, and of its link.

    Beside these keys stand the facts that it told about itself on its last link.
    """

    # What a device may tell depends on its profiles: the schema adds those from the registry.
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    kind: ClassVar[str] = "device_info"

    state: SessionState
    reason: str = ""
    """Why the session is in this state, such as ``link_lost``; absent where there is no reason."""
    name: str | None = None
    """What it advertises; null where it has no name."""
    profiles: list[str] = Field(default_factory=list[str])
    """What was found on it, and is read."""
    bonded: bool = False
    """Whether BlueZ holds a bond with it."""
    controlled: bool = False
    """Whether requests hold it, a fitness machine; absent where they never did on this link."""
    fetch: FetchHealth = Field(default_factory=FetchHealth)


class DeviceAnnouncement(Payload):
    """A gateway or a device with its entities, for Home Assistant, in the words of that."""

    kind: ClassVar[str] = "homeassistant_device"

    dev: dict[str, str | list[str]]
    """Who it is."""
    o: dict[str, str]
    """Who says so."""
    qos: int
    avty: list[dict[str, str]] = Field(default_factory=list[dict[str, str]])
    """Topics that say whether it is there."""
    avty_mode: Literal["all"] = "all"
    cmps: dict[str, dict[str, Any]]
    """Its entities, by ids that never change."""


class Response(Payload):
    """What became of a request; each gets one."""

    kind: ClassVar[str] = "response"
    retained: ClassVar[bool] = False

    status: Literal["ok", "error"]
    error: str = ""
    """What was found and what is expected, or why it cannot be done; absent where it was."""
    data: dict[str, Any] = Field(default_factory=dict[str, Any])
    """What was asked for; absent where it was not done."""
    transaction: str | int | float = ""
    """That of the request; absent where it had none."""
