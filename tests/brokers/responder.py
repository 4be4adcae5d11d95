"""A strict MQTT broker for one client at a time: it has the limits and gives the answers of a test.

    behaviour = Behaviour(receive_maximum=1, puback_delay_s=0.03)
    async with Responder(behaviour) as broker:
        ...  # connect to HOST and broker.port
        await broker.until(lambda: len(broker.published) >= 10)
        assert broker.disconnects == []

It keeps to MQTT 5 and disconnects a client that breaks one of its limits, as the standard demands,
with the code of that limit. It delivers nothing to subscribers, except by ``Connection.deliver``.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.brokers import packets
from tests.brokers.packets import Connect, Packet, Publish
from tests.support.mosquitto import HOST

BOUND_S = 30.0

# The return codes of a CONNACK in MQTT 3.1.1 (table 3.1) for the reason codes of MQTT 5.
_RETURN_CODES = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}

QUOTA_EXCEEDED, RECEIVE_MAXIMUM_EXCEEDED, PACKET_TOO_LARGE = 0x97, 0x93, 0x95
RETAIN_NOT_SUPPORTED, QOS_NOT_SUPPORTED, TOPIC_ALIAS_INVALID = 0x9A, 0x9B, 0x94
WILDCARD_NOT_SUPPORTED, MALFORMED_PACKET, PROTOCOL_ERROR = 0xA2, 0x81, 0x82
KEEP_ALIVE_TIMEOUT, UNSUPPORTED_VERSION = 0x8D, 0x84


@dataclass(slots=True)
class Behaviour:
    """What the broker allows and answers; may be changed while it runs.

    Attributes:
        receive_maximum: unacknowledged publishes that it accepts (0x93 for more).
        maximum_packet_size: bytes of a packet that it accepts (0x95).
        names_packet_size: False: it does not say so in its CONNACK.
        maximum_qos: 0 or 1 (0x9B); None: no limit.
        retain_available: False: no retained messages, nor a retained will (0x9A).
        server_keep_alive: overrides the client's keep alive, seconds (0x8D).
        assigned_client_id: the id that it gives to the client.
        topic_alias_maximum: topic aliases that it accepts (0x94 for others).
        wildcard_available: False: no wildcards in subscriptions (0xA2 in SUBACK).
        subscription_id_available: False: no subscription identifiers.
        versions: protocol levels that it speaks: 5, 4 (MQTT 3.1.1).
        connack: reason code of its CONNACK; a failure closes the connection.
        connack_delay_s: how long it takes.
        answers_connect: False: it accepts TCP connections and says nothing.
        closes: closes the connection instead of a CONNACK.
        reason_string: text that it gives with a failure of CONNACK, PUBACK or DISCONNECT.
        server_reference: other broker that it names in CONNACK and DISCONNECT.
        disconnect: reason code of a DISCONNECT ``disconnect_after_s`` after each CONNACK; None: it
            stays connected; 0: it closes TCP without a DISCONNECT.
        puback: reason codes by a part of the topic; others are accepted.
        puback_delay_s: how long a PUBACK takes.
        acknowledges: False: no PUBACKs.
        disconnect_on: reason codes of a DISCONNECT by a part of the topic of a publish; 0: it
            closes TCP without one.
        suback: reason code for each subscription; None: it closes TCP instead.
        closes_from_qos: it closes TCP also if a subscription asks for this quality of service or a
            higher one; None: it does not look at that.
        suback_delay_s: how long a SUBACK takes.
        answers_ping: False: no PINGRESP.
    """

    receive_maximum: int | None = None
    maximum_packet_size: int | None = None
    names_packet_size: bool = True
    maximum_qos: int | None = None
    retain_available: bool = True
    server_keep_alive: int | None = None
    assigned_client_id: str | None = None
    topic_alias_maximum: int | None = None
    wildcard_available: bool = True
    subscription_id_available: bool = True
    versions: tuple[int, ...] = (5, 4)
    connack: int = 0
    connack_delay_s: float = 0.0
    answers_connect: bool = True
    closes: bool = False
    reason_string: str | None = None
    server_reference: str | None = None
    disconnect: int | None = None
    disconnect_after_s: float = 0.0
    puback: Mapping[str, int] = field(default_factory=dict[str, int])
    puback_delay_s: float = 0.0
    acknowledges: bool = True
    disconnect_on: Mapping[str, int] = field(default_factory=dict[str, int])
    suback: int | None = 1
    closes_from_qos: int | None = None
    suback_delay_s: float = 0.0
    answers_ping: bool = True

    def in_connack(self) -> packets.Properties:
        """Return the properties of its CONNACK."""
        found: dict[int, packets.Value | None] = {
            packets.RECEIVE_MAXIMUM: self.receive_maximum,
            packets.MAXIMUM_PACKET_SIZE: (
                self.maximum_packet_size if self.names_packet_size else None
            ),
            packets.MAXIMUM_QOS: self.maximum_qos,
            packets.RETAIN_AVAILABLE: None if self.retain_available else 0,
            packets.SERVER_KEEP_ALIVE: self.server_keep_alive,
            packets.ASSIGNED_CLIENT_ID: self.assigned_client_id,
            packets.TOPIC_ALIAS_MAXIMUM: self.topic_alias_maximum,
            packets.WILDCARD_AVAILABLE: None if self.wildcard_available else 0,
            packets.SUBSCRIPTION_ID_AVAILABLE: None if self.subscription_id_available else 0,
        }
        present = {key: value for key, value in found.items() if value is not None}
        return present | (self.in_failure() if self.connack else {})

    def in_failure(self) -> dict[int, packets.Value]:
        """Return the properties that explain a failure."""
        texts = {
            packets.REASON_STRING: self.reason_string,
            packets.SERVER_REFERENCE: self.server_reference,
        }
        return {key: text for key, text in texts.items() if text is not None}


class _End(Exception):
    """Ends a connection: with this DISCONNECT, or without one if the code is 0."""

    def __init__(self, code: int) -> None:
        super().__init__(hex(code))
        self.code = code


class Connection:
    """One connection of a client.

    Attributes:
        connect: its CONNECT; None before it has arrived.
        published: what the client has published, in this order.
        subscribed: the filters that it has subscribed to.
        asked: the quality of service of each SUBSCRIBE, also of those without an answer.
        most_in_flight: the most unacknowledged publishes at a time.
        refused: codes of PUBACKs that refused a message, with its topic.
        disconnect: code of the DISCONNECT that the broker has sent; 0 if it just closed TCP, None
            if the client ended the connection or it is still up.
        client_disconnect: code of the client's DISCONNECT; None without one.
        over: whether the connection has ended.
    """

    def __init__(self, broker: "Responder", writer: asyncio.StreamWriter) -> None:
        self.connect: Connect | None = None
        self.published: list[Publish] = []
        self.subscribed: list[str] = []
        self.asked: dict[str, int] = {}
        self.most_in_flight = 0
        self.refused: list[tuple[str, int]] = []
        self.disconnect: int | None = None
        self.client_disconnect: int | None = None
        self.over = False
        self.opened_at = self.heard_at = asyncio.get_running_loop().time()
        self._broker = broker
        self._writer = writer
        self._in_flight: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def _version(self) -> int:
        return 5 if self.connect is None else self.connect.version

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Answer the client until the connection ends."""
        try:
            while True:
                packet = await packets.read_packet(reader)
                self.heard_at = asyncio.get_running_loop().time()
                await self._handle(packet)
                self._broker.changed()
        except _End as end:
            self.end(end.code)
        except packets.Malformed:
            self.end(MALFORMED_PACKET)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            self.over = True
            self._writer.close()
            self._broker.changed()

    def end(self, code: int) -> None:
        """Send a DISCONNECT with this code (0: none) and close the connection."""
        if self.over or self._writer.is_closing():
            return
        self.disconnect = code
        if code and self._version == 5:
            self._write(packets.disconnect(code, self._broker.behaviour.in_failure()))
        self._writer.close()

    def deliver(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send the client a message."""
        self._write(packets.publish(self._version, topic, payload, retain=retain))

    def _write(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do it after the delay, at once without one: answers keep their order."""

        async def wait() -> None:
            await asyncio.sleep(delay_s)
            action()
            self._broker.changed()

        if not delay_s:
            action()
            return
        task = asyncio.create_task(wait(), name="responder answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, packet: Packet) -> None:
        if (packet.type == packets.CONNECT) != (self.connect is None):
            raise _End(PROTOCOL_ERROR)
        if packet.size > (self._broker.behaviour.maximum_packet_size or packet.size):
            raise _End(PACKET_TOO_LARGE)
        if packet.type == packets.CONNECT:
            await self._on_connect(packets.parse_connect(packet))
        elif packet.type == packets.PUBLISH:
            self._on_publish(packets.parse_publish(packet, self._version))
        elif packet.type in (packets.SUBSCRIBE, packets.UNSUBSCRIBE):
            self._on_subscribe(packet)
        elif packet.type == packets.PINGREQ:
            if self._broker.behaviour.answers_ping:
                self._write(packets.pingresp())
        elif packet.type == packets.DISCONNECT:
            self.client_disconnect = packets.parse_disconnect(packet)
            self._writer.close()
        elif packet.type != packets.PUBACK:
            raise _End(PROTOCOL_ERROR)

    async def _on_connect(self, connect: Connect) -> None:
        behaviour, self.connect = self._broker.behaviour, connect
        self._broker.changed()
        await asyncio.sleep(behaviour.connack_delay_s)
        if not behaviour.answers_connect:
            return
        if behaviour.closes:
            raise _End(0)
        code = self._connect_code(connect)
        sent = code if connect.version == 5 else _RETURN_CODES.get(code, code and 3)
        self._write(packets.connack(connect.version, sent, behaviour.in_connack()))
        if code:
            self._broker.connacks.append(code)
            raise _End(0)
        self._broker.connacks.append(0)
        if (ends_with := behaviour.disconnect) is not None:
            self._later(behaviour.disconnect_after_s, lambda: self.end(ends_with))
        keep_alive = behaviour.server_keep_alive if connect.version == 5 else None
        self._watch_keep_alive(connect.keep_alive if keep_alive is None else keep_alive)

    def _connect_code(self, connect: Connect) -> int:
        behaviour = self._broker.behaviour
        if connect.version not in behaviour.versions:
            return UNSUPPORTED_VERSION
        if connect.will_retain and not behaviour.retain_available:
            return RETAIN_NOT_SUPPORTED
        if behaviour.maximum_qos is not None and connect.will_qos > behaviour.maximum_qos:
            return QOS_NOT_SUPPORTED
        return behaviour.connack

    def _watch_keep_alive(self, seconds: int) -> None:
        # Section 3.1.2.10: one and a half times the keep alive; 0 switches it off.
        if not seconds:
            return

        def check() -> None:
            left_s = self.heard_at + 1.5 * seconds - asyncio.get_running_loop().time()
            if left_s > 0:
                self._later(left_s, check)
            else:
                self.end(KEEP_ALIVE_TIMEOUT)

        self._later(1.5 * seconds, check)

    def _on_publish(self, publish: Publish) -> None:
        behaviour = self._broker.behaviour
        self.published.append(publish)
        self._broker.published.append(publish)
        if publish.qos > (2 if behaviour.maximum_qos is None else behaviour.maximum_qos):
            raise _End(QOS_NOT_SUPPORTED)
        if publish.retain and not behaviour.retain_available:
            raise _End(RETAIN_NOT_SUPPORTED)
        alias = publish.properties.get(packets.TOPIC_ALIAS, 0)
        if isinstance(alias, int) and alias > (behaviour.topic_alias_maximum or 0):
            raise _End(TOPIC_ALIAS_INVALID)
        for part, code in behaviour.disconnect_on.items():
            if part in publish.topic:
                raise _End(code)
        if not publish.qos:
            return
        self._in_flight.add(publish.mid)
        self.most_in_flight = max(self.most_in_flight, len(self._in_flight))
        if len(self._in_flight) > (behaviour.receive_maximum or 65_535):
            raise _End(RECEIVE_MAXIMUM_EXCEEDED)
        if behaviour.acknowledges:
            self._later(behaviour.puback_delay_s, lambda: self.acknowledge(publish))

    def acknowledge(self, publish: Publish) -> None:
        """Answer a publish, as the behaviour says."""
        behaviour = self._broker.behaviour
        codes = [code for part, code in behaviour.puback.items() if part in publish.topic]
        code = codes[-1] if codes else 0
        self._in_flight.discard(publish.mid)
        if code >= 0x80:
            self.refused.append((publish.topic, code))
        else:
            self._broker.accepted.append(publish)
        text = behaviour.reason_string if code else None
        self._write(packets.puback(self._version, publish.mid, code, text))

    def _on_subscribe(self, packet: Packet) -> None:
        behaviour = self._broker.behaviour
        mid, filters, _ = packets.parse_subscribe(packet, self._version)
        if packet.type == packets.UNSUBSCRIBE:
            self.subscribed = [known for known in self.subscribed if known not in filters]
            codes = [0] * len(filters)
            self._write(packets.suback(self._version, mid, codes, kind=packets.UNSUBACK))
            return
        self.asked.update(filters)
        from_qos = behaviour.closes_from_qos
        closes = from_qos is not None and max(filters.values()) >= from_qos
        if closes or behaviour.suback is None:
            raise _End(0)
        code = behaviour.suback
        codes = [
            WILDCARD_NOT_SUPPORTED
            if not behaviour.wildcard_available and {"+", "#"} & set(topic_filter)
            else code
            for topic_filter in filters
        ]
        if self._version != 5:
            codes = [min(code, 0x80) for code in codes]
        granted = zip(filters, codes, strict=True)
        self.subscribed += [topic_filter for topic_filter, code in granted if code < 0x80]
        self._later(
            behaviour.suback_delay_s,
            lambda: self._write(packets.suback(self._version, mid, codes)),
        )


class Responder:
    """The broker; an async context manager that listens on a free port of ``HOST``.

    Attributes:
        behaviour: what it allows and answers.
        port: where it listens.
        connections: all of them, oldest first.
        connacks: the codes of all CONNACKs, as in MQTT 5.
        published: what all clients have published, in the order of arrival.
        accepted: what it has acknowledged with a success, in the order of the acknowledgements.
    """

    def __init__(
        self, behaviour: Behaviour | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """Prepare; without a behaviour it has no limits and accepts everything."""
        self.behaviour = Behaviour() if behaviour is None else behaviour
        self.port = 0
        self.connections: list[Connection] = []
        self.connacks: list[int] = []
        self.published: list[Publish] = []
        self.accepted: list[Publish] = []
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """``host:port``, as in the settings."""
        return f"{HOST}:{self.port}"

    @property
    def disconnects(self) -> list[int]:
        """The codes with which the broker ended connections; 0 without a DISCONNECT."""
        codes = (connection.disconnect for connection in self.connections)
        return [code for code in codes if code is not None]

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection and stop listening."""
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self, code: int = 0) -> None:
        """Stop listening, and end every connection with this code (0: no DISCONNECT)."""
        assert self._server is not None, "it is not running"
        self._server.close()
        for connection in self.connections:
            connection.end(code)
        await self.until(lambda: all(connection.over for connection in self.connections))

    async def until(self, found: Callable[[], object], bound_s: float = BOUND_S) -> None:
        """Wait until ``found`` returns something true; it is asked after every packet."""
        with suppress(TimeoutError):
            async with asyncio.timeout(bound_s), self._changed:
                await self._changed.wait_for(lambda: bool(found()))
        assert found(), f"not within {bound_s:.0f} s"

    def changed(self) -> None:
        """Wake those that wait: something has happened."""
        task = asyncio.create_task(self._wake(), name="responder news")
        self._wakers.add(task)
        task.add_done_callback(self._wakers.discard)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, writer)
        self.connections.append(connection)
        self.changed()
        await connection.serve(reader)
