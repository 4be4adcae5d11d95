"""A subscriber that shares no code with healthd's MQTT client."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.system.guest.vm import until

GATEWAY = "gateway"
_TOPICS = f"healthd/{GATEWAY}/#"
_HOST, _PORT = "127.0.0.1", 1883


class Subscriber:
    """Receives all topics of the gateway, including messages from restarts of the broker.

    Attributes:
        retained: the last payload of each topic that is neither sample nor event.
        fetches: the event of each run of a periodic peripheral.
    """

    def __init__(self, on_sample: Callable[[str, str, dict[str, Any], float], None]) -> None:
        """``on_sample`` is called with peripheral, stream, payload and time of arrival."""
        self.retained: dict[str, bytes] = {}
        self.fetches: list[dict[str, Any]] = []
        self._on_sample = on_sample
        self._subscribed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # Not a clean session: the broker keeps messages while this client is disconnected.
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="system-test", clean_session=False
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    async def start(self) -> None:
        """Connect; subscribed on return."""
        self._client.connect_async(_HOST, _PORT)
        self._client.loop_start()
        await until(self._subscribed.is_set, "the broker accepts the subscriber")

    async def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def state(self, peripheral: str) -> dict[str, Any]:
        """Return the retained info of a peripheral; empty if there is none."""
        text = self.retained.get(f"device/{peripheral}/info")
        return json.loads(text) if text else {}

    def _on_connect(self, client: Client, *_: object) -> None:
        client.subscribe(_TOPICS, qos=1)

    def _on_subscribe(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._subscribed.set)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        # Timed here, in paho's thread: the event loop may be busy with the radio.
        now = time.monotonic()
        topic, payload = message.topic, bytes(message.payload)
        self._loop.call_soon_threadsafe(self._sort, topic, payload, now)

    def _sort(self, topic: str, payload: bytes, at: float) -> None:
        levels = topic.removeprefix(f"healthd/{GATEWAY}/").split("/")
        if levels[0] == "device" and levels[2:] not in (["status"], ["info"]):
            # The live topic or the history topic: a sample that had to wait counts as arrived, too.
            self._on_sample(levels[1], levels[2], json.loads(payload), at)
        elif levels == ["event", "fetch"]:
            self.fetches.append(json.loads(payload))
        else:
            self.retained["/".join(levels)] = payload
