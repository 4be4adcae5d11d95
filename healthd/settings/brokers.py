"""How a broker is written in the settings, and what a client shows it."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Scheme = Literal["mqtt", "mqtts", "ws", "wss"]

# Where brokers expect WebSockets, unless they are configured otherwise: EMQX, HiveMQ and AWS.
# mosquitto accepts any path.
_WEBSOCKET_PATH = "/mqtt"

# For the scheme, and for no scheme by whether TLS is used.
_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}

_EXPECTED = (
    "host, host:port or [IPv6]:port, with a port from 1 to 65535; in front of it mqtt://, "
    "mqtts://, ws:// or wss:// (with an s: TLS), and after ws:// or wss:// a path such as /mqtt. "
    "User and password go into username and password_file"
)

_BROKER = re.compile(
    r"(?:(?P<scheme>mqtts?|wss?)://)?"
    r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._-]+))"
    r"(?::(?P<port>\d{1,5}))?"
    r"(?P<path>/[!-~]*)?"
)


class Broker(BaseModel):
    """A broker; written ``host``, ``host:port``, ``[IPv6]:port`` or as a URL of these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int | None = Field(default=None, ge=1, le=65535)
    scheme: Scheme | None = None
    path: str | None = None

    def __str__(self) -> str:
        """Return the broker as a user writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = f"{self.scheme}://" if self.scheme else ""
        port = "" if self.port is None else f":{self.port}"
        return f"{scheme}{host}{port}{self.path or ''}"

    def uses_tls(self, otherwise: bool) -> bool:
        """Return whether its connection is encrypted; ``otherwise`` counts without a scheme."""
        return otherwise if self.scheme is None else self.scheme in ("mqtts", "wss")

    def port_used(self, tls: bool) -> int:
        """Return its port; ``tls`` counts without a scheme."""
        return self.port or _PORTS[self.scheme or ("mqtts" if tls else "mqtt")]

    def websocket_path(self) -> str | None:
        """Return the path of its WebSocket, or None for MQTT over TCP."""
        return (self.path or _WEBSOCKET_PATH) if self.scheme in ("ws", "wss") else None


def is_encrypted_url(value: object) -> bool:
    """Return whether a broker is written as a URL that demands TLS."""
    return isinstance(value, str) and value.startswith(("mqtts://", "wss://"))


def is_plain_url(value: object) -> bool:
    """Return whether a broker is written as a URL that excludes TLS."""
    return isinstance(value, str) and value.startswith(("mqtt://", "ws://"))


def _broker(value: object) -> object:
    if isinstance(value, Broker):
        return value
    found = _BROKER.fullmatch(value if isinstance(value, str) else "")
    if found is None or (found["port"] and not 1 <= int(found["port"]) <= 65535):
        raise ValueError(_EXPECTED)
    if found["path"] and found["scheme"] not in ("ws", "wss"):
        raise ValueError(_EXPECTED)
    return Broker.model_validate(
        {
            "host": found["ipv6"] or found["host"],
            "port": int(found["port"]) if found["port"] else None,
            "scheme": found["scheme"],
            "path": found["path"],
        }
    )


def _at_least_one(value: tuple[Broker, ...]) -> tuple[Broker, ...]:
    # pydantic's own min_length also fails if the only entry is invalid: two errors for one mistake.
    if not value:
        raise ValueError("at least one broker")
    return value


def _client_id(value: str) -> str:
    # MQTT sets no limit, but brokers do: AWS 128, many others 256 bytes or less.
    if not 1 <= len(value.encode()) <= 256 or not value.isprintable() or value != value.strip():
        raise ValueError("1 to 256 bytes without control characters and surrounding spaces")
    return value


def _alpn(value: object) -> object:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise ValueError(_ALPN_EXPECTED)
    for name in cast("Sequence[object]", names):
        # RFC 7301: 1 to 255 bytes.
        if not isinstance(name, str) or not name.isascii() or not 1 <= len(name) <= 255:
            raise ValueError(_ALPN_EXPECTED)
    return tuple(cast("Sequence[str]", names))


_ALPN_EXPECTED = 'the name of a protocol such as "mqtt" or "x-amzn-mqtt-ca", or a list of names'

Brokers = Annotated[
    tuple[Annotated[Broker, BeforeValidator(_broker)], ...], AfterValidator(_at_least_one)
]
ClientId = Annotated[str, AfterValidator(_client_id)]
Alpn = Annotated[tuple[str, ...], BeforeValidator(_alpn)]
