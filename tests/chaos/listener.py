"""The independent subscriber: paho alone; what it acknowledges it has recorded."""

import asyncio
import time
from collections import deque
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.chaos.broker import LISTENER_PASSWORD, LISTENER_USER
from tests.chaos.ledger import GATEWAY, Ledger
from tests.support.mosquitto import HOST

_KEPT_S = 3600
_BOUND_S = 15.0
# Whoever waits looks at all that has arrived, so not for every message.
_GATHER_S = 0.02


class Listener:
    """Writes into the ledger what arrives; an async context manager, subscribed once entered.

    It is connected past the proxy, with a session that the broker keeps.

    Attributes:
        changed: set whenever something has arrived.
    """

    def __init__(self, port: int, ledger: Ledger) -> None:
        self.changed = asyncio.Event()
        self._port = port
        self._ledger = ledger
        self._inbox: deque[tuple[str, bytes, bool, int]] = deque()
        self._gathering = False
        self._subscribed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="listener", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.username_pw_set(LISTENER_USER, LISTENER_PASSWORD)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    async def __aenter__(self) -> Self:
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = _KEPT_S
        await asyncio.to_thread(self._client.connect, HOST, self._port, properties=kept)
        self._client.loop_start()
        await self.subscribed()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        self._gather()

    def forget_subscription(self) -> None:
        """The broker is going away: ``subscribed`` waits for the next subscription."""
        self._subscribed.clear()

    async def subscribed(self) -> None:
        """Wait until it is subscribed."""
        async with asyncio.timeout(_BOUND_S):
            await self._subscribed.wait()

    # paho's thread calls these.

    def _on_connect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if not reason.is_failure:
            client.subscribe(f"healthd/{GATEWAY}/#", qos=1)

    def _on_subscribe(
        self, client: Client, userdata: Any, mid: int, reasons: list[Any], properties: Any
    ) -> None:
        if not any(reason.is_failure for reason in reasons):
            self._loop.call_soon_threadsafe(self._subscribed.set)

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        payload = bytes(message.payload)
        self._inbox.append((message.topic, payload, message.retain, time.monotonic_ns()))
        if not self._gathering:
            self._gathering = True
            self._loop.call_soon_threadsafe(self._loop.call_later, _GATHER_S, self._gather)

    # The event loop calls this.

    def _gather(self) -> None:
        self._gathering = False
        while self._inbox:
            self._ledger.receive(*self._inbox.popleft())
        self.changed.set()
