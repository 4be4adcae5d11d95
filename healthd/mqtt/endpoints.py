"""Turns settings into the brokers to connect to."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from healthd.mqtt.credentials import broker_password, read_tls
from healthd.mqtt.topics import Topics
from healthd.settings.model import Settings

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
        will_topic: where the broker publishes a retained ``offline`` if the connection dies; None
            for a client without a status.
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
    tls = read_tls(mqtt) if mqtt.tls else None
    return tuple(
        Endpoint(
            host=broker.host,
            port=broker.port or (_TLS_PORT if mqtt.tls else _PLAIN_PORT),
            version=mqtt.version,
            client_id=_client_id(settings.gateway.id),
            # The name that config/acl expects. A broker cannot check a password without a name.
            username=mqtt.username or (settings.gateway.id if secret else None),
            password=secret,
            tls=tls.context if tls else None,
            certificates=tls.fingerprint if tls else None,
            will_topic=topics.status,
        )
        for broker in mqtt.brokers
    )


def _client_id(gateway: str) -> str:
    """Return an id per gateway and machine: two clients with the same id disconnect each other."""
    machine = _MACHINE_ID.read_bytes() if _MACHINE_ID.exists() else b""
    # machine-id(5) asks not to expose the id itself on a network; a keyed hash of it is fine.
    return f"healthd-{gateway}-{sha256(b'healthd' + machine.strip()).hexdigest()[:8]}"
