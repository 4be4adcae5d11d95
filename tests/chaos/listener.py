"""An independent subscriber that uses paho only."""

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
_SUBSCRIBE_S = 15.0
# Waiting tests check their condition at most this often, not after every message.
_GATHER_S = 0.02


class Listener:
    """A subscriber that records messages in the ledger; an async context manager.

    It is subscribed once the context is entered. It connects directly to the broker, not through
    the proxy, with a session that the broker keeps.

    Attributes:
        changed: Set whenever messages have arrived.
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
        """Make ``subscribed`` wait for the next subscription, because the broker was killed."""
        self._subscribed.clear()

    async def subscribed(self) -> None:
        """Wait until it is subscribed."""
        async with asyncio.timeout(_SUBSCRIBE_S):
            await self._subscribed.wait()

    # Called in paho's thread.

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

    # Called in the event loop.

    def _gather(self) -> None:
        self._gathering = False
        while self._inbox:
            self._ledger.receive(*self._inbox.popleft())
        self.changed.set()
