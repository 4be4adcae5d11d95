"""A subscriber that uses paho directly, so that it does not depend on healthd's client."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from paho.mqtt import publish as paho_publish
from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

HOST = "127.0.0.1"
BOUND_S = 15.0

_KEPT_S = 3600

# Times as long as a look at the messages took: so all looks take at most a fifth of the time.
_PAUSE = 4

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Received:
    """A received message.

    Attributes:
        topic: where it was published.
        payload: its content.
        retained: whether the broker had kept it; False if it was published just now.
        qos: quality of service of its delivery.
        at: when it arrived, in seconds of the event loop's clock.
        content_type: from MQTT 5, or None.
        user: user properties of MQTT 5.
        expiry_s: remaining seconds until the broker discards it; None: never.
        correlation: correlation data of MQTT 5, or None.
    """

    topic: str
    payload: bytes
    retained: bool
    qos: int
    at: float
    content_type: str | None = None
    user: dict[str, str] = field(default_factory=dict[str, str])
    expiry_s: int | None = None
    correlation: bytes | None = None

    def json(self) -> dict[str, Any]:
        """Return the payload, which has to be a JSON object without NaN."""
        value: object = json.loads(self.payload, parse_constant=_no_constant)
        assert isinstance(value, dict)
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


class Subscriber:
    """Records what arrives at topic filters; an async context manager, subscribed once entered.

    It reconnects by itself, and misses what is published while it is disconnected.

    Attributes:
        messages: all messages so far, in order of arrival.
    """

    def __init__(
        self,
        port: int,
        topic_filter: str = "#",
        *more_filters: str,
        username: str | None = None,
        password: str | None = None,
        name: str = "independent-subscriber",
        version: str = "5",
        kept: bool = False,
    ) -> None:
        """Prepare; ``name`` is its MQTT client id.

        With ``kept`` the broker keeps its session: it gets what was published while it was away.
        """
        self.messages: list[Received] = []
        self._port = port
        self._filters = [(one, 1) for one in (topic_filter, *more_filters)]
        self._number = 0
        self._arrived = asyncio.Condition()
        self._acknowledged = asyncio.Event()
        self._v5 = version == "5"
        protocol = MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=protocol,
            clean_session=None if self._v5 else not kept,
        )
        self._session: dict[str, Any] = {}
        if kept and self._v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = _KEPT_S
            self._session = {"clean_start": False, "properties": properties}
        self._client.username_pw_set(username, password)
        self._client.reconnect_delay_set(1, 1)
        # By default paho sends nothing more after 20 messages without an acknowledgement.
        self._client.max_inflight_messages_set(10_000)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    async def __aenter__(self) -> Self:
        """Connect and subscribe."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._client.connect, HOST, self._port, **self._session)
        self._client.loop_start()
        try:
            await self.subscribed()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect."""
        await self._end()

    async def subscribed(self) -> None:
        """Wait until it is subscribed, or subscribed again after the broker was down."""
        async with asyncio.timeout(BOUND_S):
            await self._acknowledged.wait()
        self._acknowledged.clear()

    @property
    def is_connected(self) -> bool:
        """Whether it is connected now."""
        return self._client.is_connected()

    def send(
        self,
        topic: str,
        payload: str | bytes = b"",
        *,
        retain: bool = False,
        qos: int = 1,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> MQTTMessageInfo:
        """Publish without waiting for the broker; the result knows whether it has acknowledged."""
        properties = Properties(PacketTypes.PUBLISH)
        if response_topic is not None:
            properties.ResponseTopic = response_topic
        if correlation is not None:
            properties.CorrelationData = correlation
        return self._client.publish(topic, payload, qos, retain, properties if self._v5 else None)

    async def until(
        self, find: Callable[[list[Received]], _T | None], at_most: float = BOUND_S
    ) -> _T:
        """Wait until ``find`` returns something true, and return that.

        Args:
            find: called with all messages, whenever one has arrived; less often if it takes long.
            at_most: seconds to wait.
        """
        try:
            async with asyncio.timeout(at_most):
                while True:
                    seen, started = self._number, time.perf_counter()
                    if result := find(self.messages):
                        return result
                    # The daemon often runs in this event loop; thousands of messages must not
                    # make it wait for thousands of looks at all of them.
                    await asyncio.sleep(_PAUSE * (time.perf_counter() - started))
                    async with self._arrived:
                        await self._arrived.wait_for(lambda: self._number != seen)  # noqa: B023
        except TimeoutError:
            last = "\n".join(f"  {m.topic} {m.payload!r}" for m in self.messages[-30:])
            raise AssertionError(f"not found within {at_most} s; the last were\n{last}") from None

    async def until_payload(
        self, topic: str, payload: bytes, *, since: int = 0, at_most: float = BOUND_S
    ) -> Received:
        """Wait for this payload at this topic, after the first ``since`` messages."""
        return await self.until(
            lambda all_: next(
                (m for m in all_[since:] if (m.topic, m.payload) == (topic, payload)), None
            ),
            at_most,
        )

    def at(self, topic: str) -> list[Received]:
        """Return the messages that have arrived at a topic."""
        return [message for message in self.messages if message.topic == topic]

    async def _end(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        # Breaks a cycle: garbage collection might find the open sockets before their client.
        self._client.on_connect = self._client.on_subscribe = self._client.on_message = None

    # Called from paho's thread.

    def _on_connect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if not reason.is_failure:
            client.subscribe(self._filters)

    def _on_subscribe(
        self, client: Client, userdata: Any, mid: int, reasons: list[Any], properties: Any
    ) -> None:
        if not any(reason.is_failure for reason in reasons):
            self._loop.call_soon_threadsafe(self._acknowledged.set)

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        properties = message.properties
        received = Received(
            message.topic,
            bytes(message.payload),
            message.retain,
            message.qos,
            self._loop.time(),
            getattr(properties, "ContentType", None),
            dict(getattr(properties, "UserProperty", [])),
            getattr(properties, "MessageExpiryInterval", None),
            getattr(properties, "CorrelationData", None),
        )
        asyncio.run_coroutine_threadsafe(self._keep(received), self._loop)

    async def _keep(self, received: Received) -> None:
        async with self._arrived:
            self.messages.append(received)
            self._number += 1
            self._arrived.notify_all()


async def publish(port: int, topic: str, payload: str, *, retain: bool = False) -> None:
    """Publish one message with QoS 1, from a separate client."""
    await asyncio.to_thread(
        partial(paho_publish.single, topic, payload, qos=1, retain=retain),
        hostname=HOST,
        port=port,
        protocol=MQTTProtocolVersion.MQTTv5,  # every broker of these tests supports it
    )


def _no_constant(name: str) -> float:
    raise AssertionError(f"{name} in a payload")
