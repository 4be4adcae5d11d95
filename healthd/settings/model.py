"""One TOML file and its environment overrides, read into frozen models; every error in one run."""

import math
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
)

from healthd.settings.values import (
    Adapter,
    Address,
    Every,
    GradeLimits,
    InclinationLimits,
    Lease,
    PolarStream,
    PowerLimits,
    RequestVerb,
    ResistanceLimits,
    Seconds,
    Slug,
    SpeedLimits,
    TopicPrefix,
    User,
    Wheel,
    Window,
    Zones,
)

# How long a run of a periodic peripheral may take. Time enough to wait for a device that shows
# itself every ten seconds, for a slot that somebody else gives up first (30 s), and to link it a
# second time; and no longer than a slot may be kept from others for one that is not there.
_FETCH_WINDOW_S = 120.0


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Broker(_Section):
    """Where one broker listens; written ``host``, ``host:port`` or ``[IPv6]:port``."""

    host: str
    port: int | None = Field(default=None, ge=1, le=65535)

    def __str__(self) -> str:
        """The broker as a user writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def _broker(value: object) -> object:
    if isinstance(value, Broker):
        return value
    text = value if isinstance(value, str) else ""
    parts = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?", text)
    if parts is None or (parts[3] and not 1 <= int(parts[3]) <= 65535):
        raise ValueError('a broker as "host", "host:port" or "[IPv6]:port", port 1 to 65535')
    return Broker(host=parts[1] or parts[2], port=int(parts[3]) if parts[3] else None)


def _at_least_one(value: tuple[Broker, ...]) -> tuple[Broker, ...]:
    # pydantic's own min_length also fires when the only entry is invalid: two errors for one.
    if not value:
        raise ValueError("at least one broker")
    return value


Brokers = Annotated[
    tuple[Annotated[Broker, BeforeValidator(_broker)], ...], AfterValidator(_at_least_one)
]


class GatewaySettings(_Section):
    """``[gateway]``: what this healthd is called."""

    id: Slug = Field(default_factory=lambda: _host_slug(socket.gethostname()))


class MqttSettings(_Section):
    """``[mqtt]``: where samples go."""

    brokers: Brokers = (Broker(host="localhost"),)
    prefix: TopicPrefix = "healthd"
    version: Literal["5", "3.1.1"] = "5"
    username: str | None = None
    password_file: Path | None = None
    tls: StrictBool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    requests: tuple[RequestVerb, ...] = ()
    discovery: TopicPrefix | None = None


class BluetoothSettings(_Section):
    """``[bluetooth]``: which adapter is used, and how."""

    adapter: Adapter | None = None
    # CSR dongles and many others carry five links at a time, Broadcom's in a Pi seven.
    slots: int = Field(default=5, ge=1, le=64)
    power_on: StrictBool = True


class OutboxSettings(_Section):
    """``[outbox]``: where samples wait that the broker has not acknowledged."""

    directory: Path | None = None
    write: Literal["around", "through"] = "around"
    # Three days of an outage at 1 sample a second and about 300 bytes each, three times over.
    max_size: ByteSize = Field(default=ByteSize(256_000_000), ge=1_000_000)


class LogSettings(_Section):
    """``[log]``: how much is logged; health values and addresses appear at debug only."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class ControlSettings(_Section):
    """``[peripherals.control]``: how far requests may go with a machine, and how long it is held.

    Without limits a bike is bounded by what it says itself; a treadmill is not moved at all.
    """

    power_w: PowerLimits | None = None
    resistance_level: ResistanceLimits | None = None
    speed_mps: SpeedLimits | None = None
    inclination_pct: InclinationLimits | None = None
    # No machine says what it simulates. Roads that are ridden are hardly ever steeper.
    grade_pct: GradeLimits = (-15.0, 15.0)
    # A program that renews its request every few seconds gets over twenty without Wi-Fi, and nobody
    # pushes for long against a brake that a dead program has set.
    lease: Lease = 30.0


class PeripheralSettings(_Section):
    """One ``[[peripherals]]`` entry; exactly one of address, name and service finds it."""

    id: Slug
    address: Address | None = None
    name: Annotated[str, StringConstraints(min_length=1)] | None = None
    service: str | None = None
    silence: Seconds | None = None
    every: Every | None = None
    on: Literal["advertising"] | None = None
    window: Seconds | None = None
    # A scale goes on advertising for up to a minute after the result that it has just given.
    rearm: Seconds = 300.0
    # 700x25C, the most common road tyre.
    wheel_circumference: Wheel = 2.105
    pmd: tuple[PolarStream, ...] = ()
    hrv: Window | None = None
    heart_rate_zones: Zones = ()
    pair: StrictBool = False
    passkey_file: Path | None = None
    set_clock: StrictBool = True
    user: User | None = None
    consent_file: Path | None = None
    control: ControlSettings = Field(default_factory=ControlSettings)

    @property
    def periodic(self) -> bool:
        """Whether it is linked now and then, and not for good."""
        return self.every is not None or self.on is not None

    @property
    def fetch_window_s(self) -> float:
        """The longest that one run may take."""
        if self.window is not None:
            return self.window
        # Of two runs that follow each other closely, the first one ends well before the second.
        return min(_FETCH_WINDOW_S, self.every / 2 if isinstance(self.every, float) else math.inf)


class Settings(_Section):
    """The whole file."""

    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    bluetooth: BluetoothSettings = Field(default_factory=BluetoothSettings)
    outbox: OutboxSettings = Field(default_factory=OutboxSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    peripherals: tuple[PeripheralSettings, ...] = ()


def password(mqtt: MqttSettings, environ: Mapping[str, str]) -> str | None:
    """The broker's password: ``password_file``, else systemd's ``mqtt-password`` credential.

    Raises:
        OSError: the file is named but cannot be read.
    """
    path = mqtt.password_file
    if path is None and (credentials := environ.get("CREDENTIALS_DIRECTORY")):
        candidate = Path(credentials) / "mqtt-password"
        path = candidate if candidate.exists() else None
    # A trailing newline is how editors end a file, not part of the secret.
    secret = "" if path is None else path.read_text(encoding="utf-8").rstrip("\r\n")
    # The installed credential is an empty file until somebody fills it in.
    return secret or None


def passkey(peripheral: PeripheralSettings) -> int | None:
    """The six digits that the peripheral asks for when it is paired: in ``passkey_file``, if any.

    Raises:
        OSError: the file is named but cannot be read.
        ValueError: it holds something else.
    """
    file = peripheral.passkey_file
    return None if file is None else _code(file, "[0-9]{6}", "the six digits of a passkey")


def consent_code(peripheral: PeripheralSettings) -> int | None:
    """The four digits with which its user gives consent: in ``consent_file``, if any.

    Raises:
        OSError: the file is named but cannot be read.
        ValueError: it holds something else.
    """
    file = peripheral.consent_file
    return None if file is None else _code(file, "[0-9]{4}", "the four digits of a consent code")


def _code(file: Path, pattern: str, expected: str) -> int:
    text = file.read_text(encoding="utf-8").strip()
    # Never repeated: what stands there may be another secret.
    if not re.fullmatch(pattern, text):
        raise ValueError(f"found something else, expected {expected}")
    return int(text)


def _host_slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:64] or "healthd"


def known_keys(location: tuple[Any, ...]) -> list[str]:
    """The keys that the settings know at ``location`` (a path of keys and indexes)."""
    model: type[BaseModel] = Settings
    for step in location:
        if step == "peripherals":
            model = PeripheralSettings
        elif isinstance(step, str) and step in model.model_fields:
            section = model.model_fields[step].annotation
            if isinstance(section, type) and issubclass(section, BaseModel):
                model = section
    return sorted(model.model_fields)
