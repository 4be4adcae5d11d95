"""Turns settings into the brokers to connect to."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from healthd.errors import Fatal
from healthd.mqtt.topics import Topics
from healthd.settings.model import MqttSettings, Settings, password

_MACHINE_ID = Path("/etc/machine-id")
_PLAIN_PORT, _TLS_PORT = 1883, 8883


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
    """

    host: str
    port: int
    version: str
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, compare=False)
    certificates: str | None = field(default=None, repr=False)
    will_topic: str | None = None
    retain: bool = True
    alpn: tuple[str, ...] = ()
    path: str | None = None

    @property
    def address(self) -> str:
        """Host and port, as a user writes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoints(
    settings: Settings, topics: Topics, environ: Mapping[str, str]
) -> tuple[Endpoint, ...]:
    """Return the brokers of ``[mqtt]``, in the order in which they are tried.

    Raises:
        Fatal: a password, certificate or key file cannot be used.
    """
    mqtt = settings.mqtt
    secret = _password(mqtt, environ)
    context = _tls(mqtt) if mqtt.tls else None
    certificates = _fingerprint(mqtt) if mqtt.tls else None
    return tuple(
        Endpoint(
            host=broker.host,
            port=broker.port or (_TLS_PORT if mqtt.tls else _PLAIN_PORT),
            version=mqtt.version,
            client_id=_client_id(settings.gateway.id),
            # The name that config/acl expects. A broker cannot check a password without a name.
            username=mqtt.username or (settings.gateway.id if secret else None),
            password=secret,
            tls=context,
            certificates=certificates,
            will_topic=topics.status,
            retain=mqtt.retain,
        )
        for broker in mqtt.brokers
    )


def _password(mqtt: MqttSettings, environ: Mapping[str, str]) -> str | None:
    try:
        return password(mqtt, environ)
    except (OSError, UnicodeDecodeError) as error:
        source = "mqtt.password_file" if mqtt.password_file else "credential mqtt-password"
        raise Fatal(f"{source}: {error}") from error


def _tls(mqtt: MqttSettings) -> ssl.SSLContext:
    # The default context verifies certificate and host name; no setting switches that off.
    try:
        context = ssl.create_default_context(cafile=mqtt.ca_file)
    except OSError as error:  # includes ssl.SSLError
        raise Fatal(f"mqtt.ca_file: {mqtt.ca_file}: {error}") from error
    if mqtt.cert_file is not None:
        try:
            context.load_cert_chain(mqtt.cert_file, mqtt.key_file)
        except OSError as error:
            raise Fatal(f"mqtt.cert_file, mqtt.key_file: {mqtt.cert_file}: {error}") from error
    return context


def _fingerprint(mqtt: MqttSettings) -> str:
    """Return a hash of the files; the system's certificate authorities are not included."""
    files = (mqtt.ca_file, mqtt.cert_file, mqtt.key_file)
    contents = [b"" if file is None else sha256(file.read_bytes()).digest() for file in files]
    return sha256(b"".join(contents)).hexdigest()


def _client_id(gateway: str) -> str:
    """Return an id per gateway and machine: two clients with the same id disconnect each other."""
    machine = _MACHINE_ID.read_bytes() if _MACHINE_ID.exists() else b""
    # machine-id(5) asks not to expose the id itself on a network; a keyed hash of it is fine.
    return f"healthd-{gateway}-{sha256(b'healthd' + machine.strip()).hexdigest()[:8]}"
