"""An MQTT client whose publishes end with the broker's answer; the only importer of aiomqtt.

aiomqtt 2.5 drops the reason code of a PUBACK, so a publish that the broker's ACL denied returns
like a successful one. And a publish that is waiting when the connection ends goes on waiting until
its own timeout. This client fixes both by using paho's callbacks directly.
"""

import asyncio
import logging
import math
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Self, TypeVar, cast
from weakref import WeakSet

import aiomqtt
from paho.mqtt import client as paho_client
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, MQTTMessage
from paho.mqtt.reasoncodes import ReasonCode

from healthd.mqtt import connecting, faults, packets
from healthd.mqtt.arrivals import Arrival, Arrivals, Message
from healthd.mqtt.connecting import CONNECT_TIMEOUT_S, Connection
from healthd.mqtt.endings import Endings
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import RETRY, ConnectionLost, PublishRefused, SubscribeRefused
from healthd.mqtt.flood import Flood
from healthd.mqtt.freshness import Freshness
from healthd.mqtt.incoming import Incoming
from healthd.mqtt.limits import Limits
from healthd.mqtt.outgoing import QOS, Outgoing
from healthd.mqtt.send_quota import LIVE
from healthd.mqtt.socket_writer import SocketWriter
from healthd.mqtt.unacked import Acknowledgement, Answer
from healthd.mqtt.wake_ups import WakeUps
from healthd.supervision.deadline import timeout

# A stalled connection is noticed after one and a half times this; brokers count the same way.
KEEPALIVE_S = 10

# A failure was seen to arrive after 4 s, from a NATS cluster that had lost a node.
_SUBACK_TIMEOUT_S = 10.0

# paho logs every broken socket; healthd logs what happens to the connection.
_LIBRARY_LOG = logging.getLogger("healthd.paho")
_LIBRARY_LOG.setLevel(logging.CRITICAL)

# For a batch. Its reader may write it to a disk, which takes about as long.
_BATCH_S = 0.02

_T = TypeVar("_T")

# All that are connected, for the time of a replay.
_clients: WeakSet["AckedClient"] = WeakSet()


def awaits_answers() -> bool:
    """Return whether a broker has yet to answer anything that this process has sent.

    The time of a replay then waits. From the first call on, all answers are read at once.
    """
    # All of them are asked: the first time, each stops leaving answers in its socket.
    return sum(client.awaits_answer() for client in tuple(_clients)) > 0


def follow_replaced_clock() -> None:
    """Make paho ask for the time on each use: it keeps the clock that it found at its import."""
    cast(Any, paho_client).time_func = lambda: time.monotonic()


class AckedClient(aiomqtt.Client):
    """One connection to a broker; make a new client for every connection.

    aiomqtt clients can be entered again, but paho then resends messages whose publish has already
    been reported as failed.

    Attributes:
        endpoint: the broker.
        closed: set once the client has disconnected.
        answered: set once the broker has answered a publish.
        resumed: whether the broker has kept the session of an earlier connection.
        dropped: how many received messages were dropped because ``Arrivals`` was full. If the
            broker keeps the session, it sends them again after the next connect.
        flood: notices too many received messages.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        longest_payload: int | None = None,
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        """Prepare the client; entering it connects.

        Args:
            endpoint: the broker.
            longest_payload: received payloads are cut to this many bytes; None: never.
            timeout_s: for the connection, from looking up the name to CONNACK.
        """
        packets.patch_paho()
        self._longest_payload = longest_payload
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._v5 = endpoint.version == "5"
        super().__init__(
            endpoint.host,
            endpoint.port,
            identifier=endpoint.client_id,
            username=endpoint.username,
            password=endpoint.password,
            protocol=aiomqtt.ProtocolVersion.V5 if self._v5 else aiomqtt.ProtocolVersion.V311,
            will=_will(endpoint),
            timeout=CONNECT_TIMEOUT_S,  # of a clean disconnect
            keepalive=KEEPALIVE_S,
            logger=_LIBRARY_LOG,
            queue_type=cast(Any, Arrivals),
            # 0: no limit of paho's own. It would queue publishes without regard to their priority.
            max_inflight_messages=0,
            properties=packets.connect_properties(endpoint.session_s) if self._v5 else None,
            # Each version has its own word for it, and paho refuses the other one.
            clean_start=not endpoint.session_s if self._v5 else MQTT_CLEAN_START_FIRST_ONLY,
            clean_session=None if self._v5 else not endpoint.session_s,
        )
        # aiomqtt passes its logger on to paho, which asks it five times per sample: 1 us.
        self._client.disable_logger()
        self._incoming = Incoming(self._client, self._on_accepted)
        self._wake_ups = WakeUps(self._read)
        self._writer = SocketWriter(self._client, self._loop, self._on_broken)
        # A message is acknowledged when its reader asks for the next one.
        self._client.manual_ack_set(True)
        self._connection: Connection | None = None
        self._endings = Endings(self._client, endpoint)
        self._outgoing = Outgoing(
            self._client,
            self._writer,
            self._wake_ups,
            self._endings.lost,
            retain=endpoint.retain,
        )
        self._freshness = Freshness(self._queue.qsize)
        self._pings = False
        self._awaits_pong, self._hurries = ExitStack(), ExitStack()
        self._is_hurried = False
        self.closed = asyncio.Event()
        self.answered = asyncio.Event()
        self.resumed = False
        self.dropped = 0
        self.flood = Flood()

    @property
    def address(self) -> str:
        """The broker's host and port."""
        return self.endpoint.address

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            ConnectionLost: no CONNACK in time, or one that refuses.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._timeout_s
        self._connection = await connecting.connect(self.endpoint, self._timeout_s)
        _clients.add(self)
        try:
            self._hand_over(self._connection)
            async with asyncio.timeout_at(ends_at):
                await self._connected
        except TimeoutError as error:
            self._break_off()
            address = self.endpoint.address
            step = "it accepts the connection, but does not answer"
            raise faults.too_slow(address, step, self._timeout_s, more_time=True) from error
        except BaseException:
            self._break_off()
            raise
        self._endings.connected()
        return self

    def _hand_over(self, connection: Connection) -> None:
        """Make paho use the connection, and send CONNECT."""
        client = cast(Any, self._client)
        client._create_socket = lambda: connection.stream
        handle_pong = client._handle_pingresp

        def on_pong() -> Any:
            self._freshness.answered()
            self._awaits_pong.close()
            return handle_pong()

        client._handle_pingresp = on_pong
        self._endings.watch(self._refuse)
        try:
            self._client_connect()
        except OSError as error:
            raise faults.unreachable(self.endpoint.address, connecting.words(error)) from error

    def _break_off(self) -> None:
        """Close a connection that is not made yet."""
        _clients.discard(self)
        cast(Any, self._client)._sock_close()
        if self._connection is not None:
            self._connection.close()

    async def __aexit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        """Disconnect; messages that are not acknowledged by now stay with their owner.

        With an exception, break the connection instead, so that the broker publishes the will.
        """
        _clients.discard(self)
        self._wake_ups.restore()
        self._outgoing.cancel()
        if exc is not None and self._connection is not None:
            with suppress(OSError):
                self._connection.socket.shutdown(socket.SHUT_RDWR)
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
        priority: int = LIVE,
    ) -> Acknowledgement:
        """Publish with QoS 1, as soon as the broker accepts another message.

        Args:
            topic: where to publish.
            payload: the message.
            retain: whether the broker keeps it for later subscribers, if it and the settings allow
                that. Else an empty message, which removes one, is not sent.
            schema: ``<measurement>/<version>``, sent as an MQTT 5 user property; None for plain
                text.
            expiry_s: seconds after which the broker discards the message (MQTT 5); None: never.
            correlation: the correlation data of the request that this answers (MQTT 5), or None.
            priority: which waiting message is sent first; see ``send_quota``.

        Returns:
            A future that the broker's PUBACK resolves: to None, or to PublishRefused if its reason
            code is a failure, or if the message is larger than the broker accepts. It is cancelled
            when the client disconnects. To cancel it withdraws a message that still waits.

        Raises:
            ConnectionLost: the connection is gone already.
        """
        properties = packets.publish_properties(schema, expiry_s, correlation) if self._v5 else None
        answer: Acknowledgement = self._loop.create_future()
        self._outgoing.deliver(topic, payload, retain, properties, priority, answer)
        return answer

    def deliver(
        self, topic: str, payload: bytes, answer: Answer, *, retain: bool, schema: str, urgent: bool
    ) -> None:
        """Publish a live sample, like ``send``, with less work.

        Args:
            topic: where to publish.
            payload: the message.
            answer: gets the broker's answer, instead of a future that takes a turn of the loop.
            retain: whether the broker keeps it.
            schema: see ``send``.
            urgent: whether the answer is wanted at once. Else it may come up to a second late, with
                the one to the next sample; see ``wake_ups``.

        Raises:
            ConnectionLost: the connection is gone already.
        """
        properties = packets.publish_properties(schema, None, None) if self._v5 else None
        self._outgoing.deliver(
            topic, payload, retain, properties, LIVE, answer, can_wait=not urgent
        )

    def catch_up(self) -> None:
        """Read answers that may have stayed in the socket."""
        if self._wake_ups.are_rare and self._outgoing.is_answer_due:
            self._read()
            self._wake_ups.postpone()

    def hurry(self) -> None:
        """Read every answer at once from now on: the connection is about to end."""
        self._hurries.enter_context(self._wake_ups.at_once())
        self._read()

    def awaits_answer(self) -> bool:
        """Return whether the broker has yet to answer something; read all answers at once."""
        if not self._is_hurried:
            self._is_hurried = True
            self.hurry()
        if not self._connected.done():
            return True
        asked = self._pending_subscribes or self._pending_unsubscribes
        pinged = cast(Any, self._client)._ping_t
        is_up = not self._disconnected.done()
        return is_up and bool(asked or pinged or not self._outgoing.is_answered)

    def ping(self) -> None:
        """Ask the broker for a sign of life; messages then have ``sent_after_s``."""
        paho = cast(Any, self._client)
        self._pings = True
        # paho takes a second one for the first, and would not notice a broker that is silent.
        if not paho._ping_t and paho.is_connected():
            self._freshness.asked()
            self._awaits_pong.enter_context(self._wake_ups.at_once())
            paho._send_pingreq()

    def limit_packets(self, size: int | None) -> None:
        """Send no packets of more bytes than this, whatever the broker names; call it first."""
        self._outgoing.limit_packets(size)

    def largest_unacked(self) -> int:
        """Return how many bytes the largest packet has that is not acknowledged; 0 for none."""
        return self._outgoing.largest_unacked()

    def first_unacked(self) -> str | None:
        """Return the topic of the oldest publish that is not acknowledged; None for none."""
        return self._outgoing.first_unacked()

    @property
    def limits(self) -> Limits:
        """What the broker accepts, as it says."""
        return self._outgoing.limits

    @property
    def window(self) -> int:
        """How many messages may be unacknowledged at a time."""
        return self._outgoing.window

    def oldest_unacked_s(self) -> float:
        """Return how many seconds the oldest publish has been waiting; 0 if there is none."""
        return self._outgoing.oldest_unacked_s()

    async def lost(self) -> None:
        """Wait until the connection ends.

        Raises:
            ConnectionLost: when it does.
        """
        with self._translated_errors():
            await asyncio.shield(self._disconnected)
        raise self._endings.lost()

    async def listen(self, *filters: str) -> AsyncGenerator[Message]:
        """Subscribe with QoS 1 and yield the messages that arrive.

        Raises:
            ConnectionLost: the connection ended, or the broker refused a subscription.
        """
        for topic_filter in filters:
            try:
                await self.subscribe_to(topic_filter)
            except SubscribeRefused as error:
                message = f"subscription to {topic_filter} refused: {error}"
                raise ConnectionLost("refused", message, RETRY) from error
        async for message in self.received():
            yield message

    async def subscribe_to(
        self, topic_filter: str, *, as_published: bool = False, qos: int = QOS
    ) -> None:
        """Subscribe; ``received`` yields the messages.

        Args:
            topic_filter: the topics.
            as_published: leave a message's ``retained`` as its publisher set it (MQTT 5 only).
            qos: the highest quality of service of the messages.

        Raises:
            SubscribeRefused: the broker refuses or does not answer; the connection stays up.
            ConnectionLost: the connection is gone already.
        """
        options = packets.subscribe_options(qos, as_published) if self._v5 else None
        if self._v5:
            qos = 0  # with MQTT 5 it is one of the options
        with self._translated_errors():
            subscribing = self.subscribe(topic_filter, qos, options, timeout=math.inf)
            with self._wake_ups.at_once():
                codes = await _answered(subscribing)
        for code in codes:
            if packets.number(code) >= packets.FIRST_FAILURE:
                raise SubscribeRefused(str(code))

    async def unsubscribe_from(self, topic_filter: str) -> None:
        """Unsubscribe.

        Raises:
            SubscribeRefused: the broker does not answer; the connection stays up.
            ConnectionLost: the connection is gone already.
        """
        with self._translated_errors(), self._wake_ups.at_once():
            await _answered(self.unsubscribe(topic_filter, timeout=math.inf))

    async def batches(self) -> AsyncGenerator[list[Message]]:
        """Yield what has arrived, at least one message; asking for more acknowledges all of it.

        Raises:
            ConnectionLost: the connection ended.
        """
        queue = cast(Arrivals, self._queue)
        with self._translated_errors():
            async for first in cast("AsyncIterator[Arrival]", self.messages):
                arrivals = [first]
                # Messages that are on their way make the batch larger.
                await asyncio.sleep(_BATCH_S)
                while not queue.empty():
                    arrivals.append(queue.get_nowait())
                yield [arrival.message for arrival in arrivals]
                for arrival in arrivals:
                    self._client.ack(arrival.mid, arrival.qos)

    async def received(self) -> AsyncGenerator[Message]:
        """Yield the messages of all subscriptions; asking for the next one acknowledges the last.

        Raises:
            ConnectionLost: the connection ended.
        """
        with self._translated_errors():
            # aiomqtt's iterator yields what _on_message has put into its queue.
            async for arrival in cast("AsyncIterator[Arrival]", self.messages):
                yield arrival.message
                self._client.ack(arrival.mid, arrival.qos)

    @contextmanager
    def _translated_errors(self) -> Generator[None]:
        """Turn errors of aiomqtt and of the socket into ``ConnectionLost``."""
        try:
            yield
        except (aiomqtt.MqttError, OSError) as error:
            raise self._endings.lost() from error

    def _refuse(self, fault: ConnectionLost) -> None:
        if not self._connected.done():
            self._connected.set_exception(fault)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        found = "" if flags.is_disconnect_packet_from_server else str(reason_code)
        if not self._connected.done():
            self._refuse(self._endings.unanswered(found))
        self._endings.note_finding(found)
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:
        self._endings.note_left(sock)
        super()._on_socket_close(client, userdata, sock)

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:
        self._loop.add_reader(sock.fileno(), self._read)
        self._misc_task = self._loop.create_task(self._misc_loop())

    def _read(self) -> bool:
        """Handle everything that has arrived; return whether any publish is not acknowledged."""
        try:
            self._incoming.read()
        except Exception as error:
            self._on_broken(error)
        self._outgoing.pass_on()
        return not self._outgoing.is_answered

    async def _misc_loop(self) -> None:
        # A broker waits for half of the keepalive more; its CONNACK may ask for a sign of life each
        # second.
        paho = cast(Any, self._client)
        while self._client.loop_misc() == 0:
            keepalive_s = paho._keepalive if self._connected.done() else 1
            wait_s = keepalive_s / 4
            if not paho._ping_t:
                # Nothing is due while samples flow.
                heard_s = time.monotonic() - min(paho._last_msg_out, paho._last_bytes_received)
                wait_s = max(wait_s, 3 * wait_s - heard_s)
            await asyncio.sleep(wait_s)
            if paho._ping_t:
                # The answer may have arrived while the process stood still.
                self._read()

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        self.resumed = bool(flags.session_present)
        self._outgoing.use(limits := Limits.of(properties))
        assert self._connection is not None, "a broker answers on a connection"
        is_encrypted = self.endpoint.tls is not None
        self._wake_ups.use(self._connection.socket, self.window, is_encrypted=is_encrypted)
        if limits.maximum_qos < QOS:
            self._refuse(faults.qos_too_low(self.address))
            return
        paho = cast(Any, self._client)
        if (assigned := getattr(properties, "AssignedClientIdentifier", None)) is not None:
            paho._client_id = assigned.encode()
        # The client must not be silent for longer (MQTT 5 section 3.2.2.3.14). If it may be, paho
        # would not notice a stalled connection.
        wanted: int = getattr(properties, "ServerKeepAlive", KEEPALIVE_S)
        paho._keepalive = min(wanted or KEEPALIVE_S, KEEPALIVE_S)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        self._writer.request(sock)

    def _on_socket_unregister_write(self, client: Any, userdata: Any, sock: Any) -> None:
        self._writer.stop(sock)

    def _on_broken(self, error: Exception) -> None:
        # Any error ends the connection, as it does in aiomqtt's own callbacks.
        if not self._disconnected.done():
            self._disconnected.set_exception(error)

    def _on_message(self, client: Any, userdata: Any, message: MQTTMessage) -> None:
        self._freshness.arrived()
        since_s = self._freshness.sent_after_s if self._pings else None
        arrival = Arrival.of(message, self._longest_payload, since_s)
        self.flood.note(arrival.message.topic, message.qos)
        try:
            cast(Arrivals, self._queue).put_nowait(arrival)
        except asyncio.QueueFull:
            self.dropped += 1
            if not self.endpoint.session_s:
                self._client.ack(arrival.mid, arrival.qos)

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Any
    ) -> None:
        refused = None
        if reason_code.is_failure:
            reason = getattr(properties, "ReasonString", None)
            refused = faults.publish_refused(reason_code.value, str(reason_code), reason)
        self._on_answer(mid, refused)

    def _on_accepted(self, mid: int) -> None:
        self._on_answer(mid, None)

    def _on_answer(self, mid: int, refused: PublishRefused | None) -> None:
        self.answered.set()
        self._outgoing.note_answer(mid, refused)


def _will(endpoint: Endpoint) -> aiomqtt.Will | None:
    if endpoint.will_topic is None:
        return None
    properties = packets.will_properties() if endpoint.version == "5" else None
    return aiomqtt.Will(endpoint.will_topic, b"offline", QOS, endpoint.retain, properties)


async def _answered(exchange: Awaitable[_T]) -> _T:
    try:
        async with timeout(_SUBACK_TIMEOUT_S):
            return await exchange
    except TimeoutError as error:
        raise SubscribeRefused(f"no answer within {_SUBACK_TIMEOUT_S:.0f} s") from error
