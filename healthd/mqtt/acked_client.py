"""An MQTT client whose publishes end with what the broker said; the only importer of aiomqtt.

aiomqtt 2.5 drops the reason code of a PUBACK, so a publish that the broker's ACL denied returns
like one that succeeded, and a publish that waits when the connection goes waits on until its own
timeout. Both are mended here, over paho's own callbacks.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, cast

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from healthd.mqtt.faults import RETRY, ConnectionLost, Refused, connection_refused, taken_over

Acknowledgement = asyncio.Future[None]
"""Resolved by the broker's PUBACK: to None, or to ``Refused``; cancelled with the connection."""

# One broker of a list may be dead: the next one is tried after this long without a CONNACK.
CONNECT_TIMEOUT_S = 3.0

# A stalled connection is noticed after one and a half of it; brokers count the same way.
KEEPALIVE_S = 10

# Every message is acknowledged; to be delivered once alone costs two round trips more, and the id
# of a sample serves as well.
QOS = 1

# MQTT 5: another client has taken the session over.
_TAKEN_OVER = 0x8E

# MQTT 5 section 2.4, and the one failure code of a SUBACK in 3.1.1.
_FIRST_FAILURE = 0x80


def _with_puback(names: dict[str, list[int]]) -> dict[str, list[int]]:
    if any(PacketTypes.PUBACK in packets for packets in names.values()):
        return names
    return {name: [*packets, PacketTypes.PUBACK] for name, packets in names.items()}


# paho drops the connection over a PUBACK with a code that the standard lists for other packets
# alone. mosquitto 2.0 answers 0x95 to a message that is too large for it, and would get it again
# for ever: whatever the code, it is a refusal of this message and of no other.
_NAMES: dict[int, dict[str, list[int]]] = {
    code: _with_puback(names) if code >= _FIRST_FAILURE else names
    for code, names in cast("Mapping[int, dict[str, list[int]]]", ReasonCode.names).items()
}
ReasonCode.names = _NAMES


# paho tells of each broken socket in words of its own; what becomes of the connection is our line.
_LIBRARY_LOG = logging.getLogger("healthd.paho")
_LIBRARY_LOG.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One broker and how to speak to it.

    Attributes:
        host: name or address.
        port: TCP port.
        version: ``5`` or ``3.1.1``.
        client_id: MQTT client identifier; a second client with the same one takes over.
        username: for the broker, or None.
        password: for the broker, or None.
        tls: how to verify the broker, or None for plain TCP.
        will_topic: retained ``offline`` is published here when the connection dies; None for
            a client that announces nothing.
    """

    host: str
    port: int
    version: str
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    will_topic: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A received message."""

    topic: str
    payload: bytes
    retained: bool


class AckedClient(aiomqtt.Client):
    """One connection's life; a new one is made for every connection.

    aiomqtt clients can be entered again, but paho then sends once more what its caller was told
    had failed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Prepare; the connection is made on entering."""
        self._v5 = endpoint.version == "5"
        will = None
        if endpoint.will_topic is not None:
            properties = _properties(PacketTypes.WILLMESSAGE, None) if self._v5 else None
            will = aiomqtt.Will(endpoint.will_topic, b"offline", QOS, True, properties)
        super().__init__(
            endpoint.host,
            endpoint.port,
            identifier=endpoint.client_id,
            username=endpoint.username,
            password=endpoint.password,
            tls_context=endpoint.tls,
            protocol=aiomqtt.ProtocolVersion.V5 if self._v5 else aiomqtt.ProtocolVersion.V311,
            will=will,
            timeout=CONNECT_TIMEOUT_S,
            keepalive=KEEPALIVE_S,
            logger=_LIBRARY_LOG,
            # Nagle and the broker's delayed ACKs cut small acknowledged messages to 200 a second.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._unacked: dict[int, tuple[asyncio.Future[None], float]] = {}
        self.closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            ConnectionLost: no CONNACK in time, or one that refuses.
        """
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in one
        cancellations = task.cancelling()
        try:
            await super().__aenter__()
        except MqttConnectError as error:
            raise connection_refused(_number(error.rc), str(error)) from error
        except (aiomqtt.MqttError, OSError) as error:
            # aiomqtt forgets the half-open socket of a broker that accepts and then hangs.
            self._client.disconnect()
            raise ConnectionLost("broker_unreachable", str(error), RETRY) from error
        if task.cancelling() > cancellations:
            # wait_for of Python 3.11 forgets a cancellation that comes together with its result.
            cancelled = asyncio.CancelledError()
            await self.__aexit__(type(cancelled), cancelled, None)
            raise cancelled
        return self

    async def __aexit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        """Disconnect; what is not acknowledged by now stays with its owner.

        Leaving with an error breaks the connection instead, so that the broker publishes the will.
        """
        for future, _ in self._unacked.values():
            future.cancel()
        self._unacked.clear()
        connection = self._client.socket()
        if exc is not None and isinstance(connection, socket.socket):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        # The connection may have died first; it is over either way.
        with suppress(aiomqtt.MqttError, OSError):
            await super().__aexit__(exc_type, exc, traceback)
        self.closed.set()

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        schema: str | None = None,
        expiry_s: int | None = None,
    ) -> Acknowledgement:
        """Publish with QoS 1.

        Args:
            topic: where.
            payload: what.
            retain: kept by the broker for later subscribers.
            schema: ``<measurement>/<version>``, sent as an MQTT 5 user property; None for plain
                text.
            expiry_s: after which the broker forgets it; MQTT 5 alone can say so. None: never.

        Returns:
            A future that the broker's PUBACK resolves: to None, or to Refused when its reason
            code is a failure. It is cancelled when the client is left.

        Raises:
            ConnectionLost: the connection is gone already.
        """
        properties = _properties(PacketTypes.PUBLISH, schema, expiry_s) if self._v5 else None
        info = self._client.publish(topic, payload, QOS, retain, properties)
        if info.rc != 0:
            raise ConnectionLost("broker_lost", "the connection is closed", RETRY)
        future: asyncio.Future[None] = self._loop.create_future()
        self._unacked[info.mid] = (future, time.monotonic())
        return future

    def oldest_unacked_s(self) -> float:
        """Seconds that the longest outstanding publish has waited; 0 without one."""
        for _, since in self._unacked.values():
            return time.monotonic() - since
        return 0.0

    async def lost(self) -> None:
        """Wait until the connection ends.

        Raises:
            ConnectionLost: when it does.
        """
        try:
            await asyncio.shield(self._disconnected)
        except aiomqtt.MqttError as error:
            if isinstance(error, aiomqtt.MqttCodeError) and _number(error.rc) == _TAKEN_OVER:
                raise taken_over(self.identifier) from error
            message = f"the connection broke: {error}"
            raise ConnectionLost("broker_lost", message, RETRY) from error
        except OSError as error:
            raise ConnectionLost("broker_lost", str(error), RETRY) from error
        raise ConnectionLost("broker_lost", "the broker closed the connection", RETRY)

    async def listen(self, *filters: str) -> AsyncGenerator[Message]:
        """Subscribe with QoS 1 and yield what arrives.

        Raises:
            ConnectionLost: the connection ended, or the broker refused the subscription.
        """
        try:
            for one in filters:
                codes = await self.subscribe(one, qos=QOS)
                if any(_number(code) >= _FIRST_FAILURE for code in codes):
                    raise ConnectionLost("refused", f"subscription to {one} refused", RETRY)
            async for message in self.messages:
                yield Message(str(message.topic), message.payload, message.retain)
        except aiomqtt.MqttError as error:
            raise ConnectionLost("broker_lost", str(error), RETRY) from error

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        # In aiomqtt the socket can be closed between this call, which may come from another thread,
        # and the loop's next turn; asyncio then logs an error for each broken connection.
        self._loop.call_soon_threadsafe(self._write_when_possible, sock)

    def _write_when_possible(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._write)

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as error:
            # Whatever it is, it ends this connection, as it does where aiomqtt writes.
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Any
    ) -> None:
        future, _ = self._unacked.pop(mid, (None, 0.0))
        if future is None or future.done():
            return
        if reason_code.is_failure:
            future.set_exception(Refused(str(reason_code)))
        else:
            future.set_result(None)


def _number(code: ReasonCode | int | None) -> int:
    return code.value if isinstance(code, ReasonCode) else code or 0


def _properties(packet: int, schema: str | None, expiry_s: int | None = None) -> Properties:
    properties = Properties(packet)
    properties.ContentType = "text/plain" if schema is None else "application/json"
    if schema is not None:
        properties.UserProperty = [("schema", schema)]
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    return properties
