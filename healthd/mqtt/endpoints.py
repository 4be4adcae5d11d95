"""Turns settings into the brokers to connect to."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from healthd.host.sha256 import sha256
from healthd.mqtt.credentials import Tls, broker_password, read_tls
from healthd.mqtt.topics import Topics
from healthd.settings.brokers import Broker
from healthd.settings.model import MqttSettings, Settings

_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One broker and how to connect to it.

    Attributes:
        host: name or address.
        port: TCP port.
        version: ``5`` or ``3.1.1``.
        client_id: MQTT client identifier; a second client with the same one takes over.
        username: for the broker, or None.
        password: for the broker, or None.
        tls: how to verify the broker, or None for plain TCP.
        certificates: a fingerprint of the files of ``tls``, as contexts cannot be compared.
        alpn: what TLS asks for; for brokers that serve more than MQTT on port 443.
        path: of the WebSocket, or None for MQTT over TCP.
        will_topic: where the broker publishes ``offline`` if the connection dies; None for a client
            without a status.
        retain: whether to publish retained messages, and the will as one.
        session_s: how long the broker keeps the subscriptions and their messages while the client
            is away, in seconds; 0: not at all.
    """

    host: str
    port: int
    version: str
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: "ssl.SSLContext | None" = field(default=None, compare=False)
    certificates: str | None = field(default=None, repr=False)
    will_topic: str | None = None
    retain: bool = True
    alpn: tuple[str, ...] = ()
    path: str | None = None
    session_s: int = 0

    @property
    def address(self) -> str:
        """Host and port, as a user writes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoints(
    settings: Settings, topics: Topics, environ: Mapping[str, str]
) -> tuple[Endpoint, ...]:
    """Return the brokers of ``[mqtt]``, in the order in which they are tried.

    Raises:
        FileUnavailable: a password, certificate or key file cannot be read now.
        Fatal: such a file has the wrong content.
    """
    mqtt = settings.mqtt
    secret = broker_password(mqtt, environ)
    found: list[Endpoint] = []
    for broker in mqtt.brokers:
        path = broker.websocket_path()
        tls = _tls(mqtt, broker)
        found.append(
            Endpoint(
                host=broker.host,
                port=broker.port_used(mqtt.tls),
                version=mqtt.version,
                client_id=mqtt.client_id or _client_id(settings.gateway.id),
                # The name that config/acl expects. A broker cannot check a password without a name.
                username=mqtt.username or (settings.gateway.id if secret else None),
                password=secret,
                tls=tls.context if tls else None,
                certificates=tls.fingerprint if tls else None,
                will_topic=topics.status,
                retain=mqtt.retain,
                alpn=mqtt.alpn if tls and path is None else (),
                path=path,
            )
        )
    return tuple(found)


def _tls(mqtt: MqttSettings, broker: Broker) -> Tls | None:
    if not broker.uses_tls(mqtt.tls):
        return None
    tls = read_tls(mqtt)
    # The protocol in TLS is HTTP for a WebSocket.
    if mqtt.alpn and broker.websocket_path() is None:
        tls.context.set_alpn_protocols(list(mqtt.alpn))
    return tls


def _client_id(gateway: str) -> str:
    """Return an id per gateway and machine: two clients with the same id disconnect each other."""
    machine = _MACHINE_ID.read_bytes() if _MACHINE_ID.exists() else b""
    # machine-id(5) asks not to expose the id itself on a network; a keyed hash of it is fine.
    return f"healthd-{gateway}-{sha256(b'healthd' + machine.strip()).hexdigest()[:8]}"
