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
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any, Self, cast

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import MQTTMessage, topic_matches_sub
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from healthd.mqtt.arrivals import Arrival, Arrivals, Message
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import (
    RETRY,
    ConnectionLost,
    PublishRefused,
    connection_refused,
    taken_over,
    untrusted,
)
from healthd.mqtt.packets import (
    FIRST_FAILURE,
    connect_properties,
    number,
    publish_properties,
    will_properties,
)

Acknowledgement = asyncio.Future[None]
"""Resolved by the PUBACK: to None, or to ``PublishRefused``; cancelled with the connection."""

# One broker of a list may be dead: the next one is tried after this long without a CONNACK.
CONNECT_TIMEOUT_S = 3.0

# A stalled connection is noticed after one and a half of it; brokers count the same way.
KEEPALIVE_S = 10

# Every message is acknowledged; to be delivered once alone costs two round trips more, and the id
# of a sample serves as well.
QOS = 1

# A failure was seen to come after 4 s, from a NATS cluster that had lost a node.
_SUBACK_TIMEOUT_S = 10.0

# MQTT 5: another client has taken the session over.
_TAKEN_OVER = 0x8E

# paho tells of each broken socket in words of its own; what becomes of the connection is our line.
_LIBRARY_LOG = logging.getLogger("healthd.paho")
_LIBRARY_LOG.setLevel(logging.CRITICAL)


class AckedClient(aiomqtt.Client):
    """One connection's life; a new one is made for every connection.

    aiomqtt clients can be entered again, but paho then sends once more what its caller was told
    had failed.

    Attributes:
        closed: set once it was left.
        dropped: how many received messages were lost because too many waited for their reader.
    """

    def __init__(self, endpoint: Endpoint, longest_payload: int | None = None) -> None:
        """Prepare; the connection is made on entering.

        Args:
            endpoint: the broker.
            longest_payload: no more bytes than these are kept of what is received; None: all.
        """
        self._longest_payload = longest_payload
        self._host = endpoint.host
        self._v5 = endpoint.version == "5"
        will = None
        if endpoint.will_topic is not None:
            properties = will_properties() if self._v5 else None
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
            queue_type=cast(Any, Arrivals),
            properties=connect_properties() if self._v5 else None,
            # Nagle and the broker's delayed ACKs cut small acknowledged messages to 200 a second.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        # aiomqtt hands its logger on to paho, which asks it five times a sample: 1 us.
        self._client.disable_logger()
        self._awaits_room = self._sends = False
        # Acknowledged when its reader takes the next one.
        self._client.manual_ack_set(True)
        self._unacked: dict[int, tuple[asyncio.Future[None], float]] = {}
        self.closed = asyncio.Event()
        self.dropped = 0

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
            raise connection_refused(number(error.rc), str(error)) from error
        except (aiomqtt.MqttError, OSError) as error:
            # aiomqtt forgets the half-open socket of a broker that accepts and then hangs.
            self._client.disconnect()
            # It also raises its own error in the place of what was wrong, which is still behind it.
            cause = error.__context__
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise untrusted(self._host, cause.verify_message) from error
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
        correlation: bytes | None = None,
    ) -> Acknowledgement:
        """Publish with QoS 1.

        Args:
            topic: where.
            payload: what.
            retain: kept by the broker for later subscribers.
            schema: ``<measurement>/<version>``, sent as an MQTT 5 user property; None for plain
                text.
            expiry_s: after which the broker forgets it; MQTT 5 alone can say so. None: never.
            correlation: by which the reader knows what it answers; MQTT 5. None: nothing.

        Returns:
            A future that the broker's PUBACK resolves: to None, or to PublishRefused when its
            reason code is a failure. It is cancelled when the client is left.

        Raises:
            ConnectionLost: the connection is gone already.
        """
        properties = publish_properties(schema, expiry_s, correlation) if self._v5 else None
        self._sends = True
        try:
            info = self._client.publish(topic, payload, QOS, retain, properties)
        finally:
            self._sends = False
        if info.rc != 0:
            raise ConnectionLost("broker_lost", "the connection is closed", RETRY)
        self._flush(self._client.socket())
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
            if isinstance(error, aiomqtt.MqttCodeError) and number(error.rc) == _TAKEN_OVER:
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
        for one in filters:
            try:
                await self.follow(one)
            except PublishRefused as error:
                message = f"subscription to {one} refused: {error}"
                raise ConnectionLost("refused", message, RETRY) from error
        async for message in self.received():
            yield message

    async def follow(self, topic_filter: str, *, as_published: bool = False) -> None:
        """Subscribe with QoS 1; what arrives is in ``received``.

        Args:
            topic_filter: to what.
            as_published: leave ``retained`` of a message as its publisher set it; MQTT 5 alone can.

        Raises:
            PublishRefused: the broker refuses, or does not answer; the connection stays up.
            ConnectionLost: the connection is gone already.
        """
        options = SubscribeOptions(QOS, retainAsPublished=as_published) if self._v5 else None
        qos = 0 if self._v5 else QOS  # which of MQTT 5 is among the options
        try:
            codes = await self.subscribe(topic_filter, qos, options, timeout=_SUBACK_TIMEOUT_S)
        except aiomqtt.MqttCodeError as error:
            raise ConnectionLost("broker_lost", str(error), RETRY) from error
        except aiomqtt.MqttError as error:
            raise PublishRefused(f"no answer within {_SUBACK_TIMEOUT_S:.0f} s") from error
        for code in codes:
            if number(code) >= FIRST_FAILURE:
                raise PublishRefused(str(code))

    async def unfollow(self, topic_filter: str) -> None:
        """Subscribe to it no more.

        Raises:
            PublishRefused: the broker does not answer; the connection lives on.
            ConnectionLost: the connection is gone already.
        """
        try:
            await self.unsubscribe(topic_filter, timeout=_SUBACK_TIMEOUT_S)
        except aiomqtt.MqttCodeError as error:
            raise ConnectionLost("broker_lost", str(error), RETRY) from error
        except aiomqtt.MqttError as error:
            raise PublishRefused(f"no answer within {_SUBACK_TIMEOUT_S:.0f} s") from error

    async def received(self) -> AsyncGenerator[Message]:
        """What arrives of all that is followed; acknowledged when the next one is asked for.

        Raises:
            ConnectionLost: the connection ended.
        """
        try:
            # What aiomqtt's iterator takes from the queue is what _on_message has put there.
            async for one in cast("AsyncIterator[Arrival]", self.messages):
                yield one.message
                self._client.ack(one.mid, one.qos)
        except aiomqtt.MqttError as error:
            raise ConnectionLost("broker_lost", str(error), RETRY) from error

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        # Samples are written where they are sent. To wake the loop takes three system calls, and to
        # have it wait for room, two more: a tenth of the CPU at a strap's pace.
        if not self._sends:
            self._loop.call_soon_threadsafe(self._flush, sock)

    def _flush(self, sock: Any) -> None:
        """Write what waits; leave to the loop only what the socket has no room for."""
        # In aiomqtt the socket can be closed between the call above and this turn; asyncio then
        # logs an error for each broken connection.
        if sock is None or sock.fileno() < 0:
            return
        self._write()
        if self._client.want_write() and sock.fileno() >= 0:
            self._awaits_room = True
            self._loop.add_writer(sock.fileno(), self._write)

    def _on_socket_unregister_write(self, client: Any, userdata: Any, sock: Any) -> None:
        if self._awaits_room:
            self._awaits_room = False
            super()._on_socket_unregister_write(client, userdata, sock)

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as error:
            # Whatever it is, it ends this connection, as it does where aiomqtt writes.
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    def _on_message(self, client: Any, userdata: Any, message: MQTTMessage) -> None:
        properties, payload = message.properties, bytes(message.payload[: self._longest_payload])
        response_topic = getattr(properties, "ResponseTopic", None)
        correlation = getattr(properties, "CorrelationData", None)
        received = Message(message.topic, payload, message.retain, response_topic, correlation)
        try:
            arrivals = cast(Arrivals, self._queue)
            arrivals.put_nowait(Arrival(received, message.mid, message.qos))
        except asyncio.QueueFull:
            self.dropped += 1
            self._client.ack(message.mid, message.qos)

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Any
    ) -> None:
        future, _ = self._unacked.pop(mid, (None, 0.0))
        if future is None or future.done():
            return
        if reason_code.is_failure:
            future.set_exception(PublishRefused(str(reason_code)))
        else:
            future.set_result(None)


def topic_matches(topic: str, topic_filter: str) -> bool:
    """Whether a subscription to the filter gets what is published at the topic."""
    return topic_matches_sub(topic_filter, topic)
