"""One TOML file and its environment overrides, read into frozen models; every error in one run."""

import re
import socket
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, cast

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

_DURATION_UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
_ADDRESS = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}")


def _seconds(value: object) -> float:
    text = value.strip() if isinstance(value, str) else ""
    number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)", text)
    if number is None or float(number[1]) == 0:
        raise ValueError('a duration such as "30s", "15min" or "2h", longer than zero')
    return float(number[1]) * _DURATION_UNITS[number[2]]


def _slug(value: str) -> str:
    # A dot or a space in a topic level breaks NATS, RabbitMQ or Home Assistant.
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", value):
        raise ValueError('a name of a-z, 0-9, "_" and "-", 64 at most, such as "living-room"')
    return value


def _address(value: str) -> str:
    address = value.upper().replace("-", ":")
    if not _ADDRESS.fullmatch(address):
        # No example: log lines have every address taken out, this one too.
        raise ValueError('a Bluetooth address: six pairs of hex digits with ":" between them')
    return address


def _topic_prefix(value: str) -> str:
    levels = value.split("/")
    if not all(re.fullmatch(r"[A-Za-z0-9_-]+", level) for level in levels):
        raise ValueError('topic levels of letters, digits, "_" and "-", such as "healthd"')
    return value


def _adapter(value: str) -> str:
    if not re.fullmatch(r"hci\d{1,3}", value):
        raise ValueError('an adapter as BlueZ names it, such as "hci0"')
    return value


def _wheel(value: object) -> float:
    # From a child's 12 inches to a penny-farthing; what is written in millimetres is far outside.
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    if not 0.5 <= number <= 4:
        raise ValueError("a wheel's circumference in metres, 0.5 to 4, such as 2.105")
    return float(number)


def _window(value: float) -> float:
    # Shorter ones hold too few beats, and a day is the longest over which SDNN has a meaning.
    if not 30 <= value <= 86400:
        raise ValueError('a duration of "30s" to "1d", such as "5min"')
    return value


def _zones(value: object) -> object:
    bounds = cast("list[object] | tuple[object, ...]", value if _is_list(value) else ())
    rates = [one for one in bounds if isinstance(one, int) and 30 <= one <= 250]
    ascend = all(lower < upper for lower, upper in pairwise(rates))
    if not 1 <= len(rates) == len(bounds) <= 10 or not ascend:
        raise ValueError("1 to 10 ascending rates of 30 to 250: where each zone begins")
    return rates


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


Slug = Annotated[str, AfterValidator(_slug)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Address = Annotated[str, AfterValidator(_address)]
Adapter = Annotated[str, AfterValidator(_adapter)]
TopicPrefix = Annotated[str, AfterValidator(_topic_prefix)]
Wheel = Annotated[float, BeforeValidator(_wheel)]
Window = Annotated[Seconds, AfterValidator(_window)]
Zones = Annotated[tuple[int, ...], BeforeValidator(_zones)]

PolarStream = Literal[
    "ecg",
    "ppg",
    "acceleration",
    "pp_interval",
    "gyroscope",
    "magnetometer",
    "skin_temperature",
    "pressure",
    "temperature",
]


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


class PeripheralSettings(_Section):
    """One ``[[peripherals]]`` entry; exactly one of address, name and service finds it."""

    id: Slug
    address: Address | None = None
    name: Annotated[str, StringConstraints(min_length=1)] | None = None
    service: str | None = None
    silence: Seconds | None = None
    # 700x25C, the most common road tyre.
    wheel_circumference: Wheel = 2.105
    pmd: tuple[PolarStream, ...] = ()
    hrv: Window | None = None
    heart_rate_zones: Zones = ()
    pair: StrictBool = False
    passkey_file: Path | None = None


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
    if peripheral.passkey_file is None:
        return None
    text = peripheral.passkey_file.read_text(encoding="utf-8").strip()
    # Never repeated: what stands there may be another secret.
    if not re.fullmatch(r"[0-9]{6}", text):
        raise ValueError("found something else, expected the six digits of a passkey")
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
