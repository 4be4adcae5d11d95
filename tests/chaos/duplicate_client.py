"""A client with the gateway's client id, which reconnects whenever the broker disconnects it."""

import asyncio
from types import TracebackType
from typing import Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.chaos.broker import GATEWAY_PASSWORD, GATEWAY_USER
from tests.support.mosquitto import HOST


class DuplicateClient:
    """An async context manager; inside, the client reconnects every second."""

    def __init__(self, port: int, client_id: str) -> None:
        self._port = port
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.username_pw_set(GATEWAY_USER, GATEWAY_PASSWORD)
        self._client.reconnect_delay_set(1, 1)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._client.connect, HOST, self._port)
        self._client.loop_start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
