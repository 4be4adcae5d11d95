"""The settings as frozen models, one class per section of healthd.toml."""

import math
import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
)

from healthd.settings.brokers import Alpn, Broker, Brokers, ClientId
from healthd.settings.people import PersonSettings
from healthd.settings.values import (
    Adapter,
    Address,
    EntityId,
    Every,
    GradeLimits,
    HassUrl,
    InclinationLimits,
    Lease,
    PolarStream,
    PowerLimits,
    RequestVerb,
    ResistanceLimits,
    SampleInterval,
    Seconds,
    Slug,
    SpeedFactor,
    SpeedLimits,
    TopicPrefix,
    User,
    Wheel,
    Window,
    Zones,
)

NEED_LINK = (
    "every",
    "on",
    "window",
    "rearm",
    "pair",
    "passkey_file",
    "pmd",
    "sample_interval",
    "set_clock",
    "user",
    "consent_file",
    "start",
    "control",
)
"""The keys of a peripheral that have no meaning without a link."""

# How long a run of a periodic peripheral may take. Long enough to find a device that advertises
# every ten seconds, to wait until another peripheral frees its slot (30 s), and to retry the link
# once; short enough that an absent device does not block a slot for long.
_FETCH_WINDOW_S = 120.0


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GatewaySettings(_Section):
    """``[gateway]``: the id of this gateway."""

    id: Slug = Field(default_factory=lambda: _host_slug(socket.gethostname()))


class MqttSettings(_Section):
    """``[mqtt]``: the broker, and what is published to it."""

    brokers: Brokers = (Broker(host="localhost"),)
    prefix: TopicPrefix = "healthd"
    version: Literal["5", "3.1.1"] = "5"
    client_id: ClientId | None = None
    username: str | None = None
    password_file: Path | None = None
    tls: StrictBool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    alpn: Alpn = ()
    retain: StrictBool = True
    requests: tuple[RequestVerb, ...] = ()
    response_topics: tuple[TopicPrefix, ...] = ()
    discovery: TopicPrefix | None = None


class BluetoothSettings(_Section):
    """``[bluetooth]``: the adapter and how it is used."""

    adapter: Adapter | None = None
    # CSR dongles and many others support five links at a time, a Pi's Broadcom controller seven.
    slots: int = Field(default=5, ge=1, le=64)
    # Passive scanning finds fewer devices, and most systems do not offer it.
    scanning: Literal["active", "passive"] = "active"
    power_on: StrictBool = True


class OutboxSettings(_Section):
    """``[outbox]``: the store of samples that the broker has not acknowledged yet."""

    directory: Path | None = None
    write: Literal["around", "through"] = "around"
    # Three times what an outage of three days takes, at 1 sample a second of about 300 bytes.
    max_size: ByteSize = Field(default=ByteSize(256_000_000), ge=1_000_000)


class CaptureSettings(_Section):
    """``[capture]``: the peripherals whose radio traffic is kept on disk."""

    # More would leave too little space for each.
    peripherals: Annotated[tuple[Slug, ...], Field(max_length=8)] = ()
    # A chest strap makes 0.8 MB an hour. Of less than 1 MB, parts would be removed all the time.
    max_size: ByteSize = Field(default=ByteSize(8_000_000), ge=1_000_000)


class HassSettings(_Section):
    """``[hass]``: the Home Assistant into whose statistics `healthd hass-backfill` imports."""

    url: HassUrl | None = None
    token_file: Path | None = None
    entities: tuple[EntityId, ...] = ()
    replace: StrictBool = False


class LogSettings(_Section):
    """``[log]``: the log level; health values and addresses are logged only at debug.

    The exception are two devices that match one entry: their addresses are needed to
    distinguish them.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"


class ControlSettings(_Section):
    """``[peripherals.control]``: limits for requests to a machine, and how long a target is held.

    Without limits a trainer's own range applies; a treadmill is never moved.
    """

    power_w: PowerLimits | None = None
    resistance_level: ResistanceLimits | None = None
    speed_mps: SpeedLimits | None = None
    inclination_pct: InclinationLimits | None = None
    # Machines do not report which grades they can simulate. Real roads are hardly ever steeper.
    grade_pct: GradeLimits = (-15.0, 15.0)
    # A program that renews its request every few seconds survives twenty seconds without Wi-Fi, and
    # a user does not fight for long against a brake set by a program that has died.
    lease: Lease = 30.0


class PeripheralSettings(_Section):
    """One ``[[peripherals]]`` entry; exactly one of address, name and service selects it."""

    id: Slug
    address: Address | None = None
    name: Annotated[str, StringConstraints(min_length=1)] | None = None
    service: str | None = None
    connect: StrictBool | None = None
    bind_key_file: Path | None = None
    silence: Seconds | None = None
    every: Every | None = None
    on: Literal["advertising"] | None = None
    window: Seconds | None = None
    # A scale keeps advertising for up to a minute after it has given a result.
    rearm: Seconds = 300.0
    # 700x25C, the most common road tyre.
    wheel_circumference: Wheel = 2.105
    speed_factor: SpeedFactor = 1.0
    pmd: tuple[PolarStream, ...] = ()
    sample_interval: SampleInterval | None = None
    hrv: Window | None = None
    heart_rate_zones: Zones = ()
    pair: StrictBool = False
    passkey_file: Path | None = None
    set_clock: StrictBool = True
    user: User | None = None
    consent_file: Path | None = None
    start: StrictBool = False
    control: ControlSettings = Field(default_factory=ControlSettings)

    @property
    def periodic(self) -> bool:
        """Return whether it is linked only for single runs, not all the time."""
        return self.every is not None or self.on is not None

    @property
    def needs_link(self) -> bool:
        """Return whether a key that has no meaning without a link differs from its default."""
        fields = type(self).model_fields
        return any(
            getattr(self, key) != fields[key].get_default(call_default_factory=True)
            for key in NEED_LINK
        )

    @property
    def fetch_window_s(self) -> float:
        """Return the longest duration of one run."""
        if self.window is not None:
            return self.window
        # A run ends well before the next one is due.
        return min(_FETCH_WINDOW_S, self.every / 2 if isinstance(self.every, float) else math.inf)


class Settings(_Section):
    """All settings."""

    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    bluetooth: BluetoothSettings = Field(default_factory=BluetoothSettings)
    outbox: OutboxSettings = Field(default_factory=OutboxSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    capture: CaptureSettings = Field(default_factory=CaptureSettings)
    hass: HassSettings = Field(default_factory=HassSettings)
    peripherals: tuple[PeripheralSettings, ...] = ()
    people: tuple[PersonSettings, ...] = ()


LISTS = frozenset({"peripherals", "people"})
"""The sections with several entries, ``[[…]]``; the others have one."""


def _host_slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:64] or "healthd"


def known_keys(location: tuple[Any, ...]) -> list[str]:
    """Return the known keys at ``location`` (a path of keys and indexes) of the settings."""
    model: type[BaseModel] = Settings
    for step in location:
        if step == "peripherals":
            model = PeripheralSettings
        elif step == "people":
            model = PersonSettings
        elif isinstance(step, str) and step in model.model_fields:
            section = model.model_fields[step].annotation
            if isinstance(section, type) and issubclass(section, BaseModel):
                model = section
    return sorted(model.model_fields)
