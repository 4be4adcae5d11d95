"""Requests of an MQTT client that may write to the gateway and means no good."""

import asyncio
import random
from typing import Any, Self

import orjson
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from healthd.verbs import REQUESTS
from tests.support.mosquitto import HOST

_REQUEST = "healthd/gateway/request/"
# Longer than any request that is accepted, and shorter than what the broker accepts.
_LONG = 20_000
# Deeper than a request is, and not so deep that it would harm a parser.
_DEEP = 120
_BURST = 10
_ODD_TOPICS = (
    "homeassistant/device/healthd-gateway/config",
    "homeassistant/status",
    "healthd/gateway/request/stop",
    "healthd/other/status",
    "healthd/gateway/response/x",
    "/",
    "a" * 2000,
    "with space/\u202e\x1b",
    "requester/answers",
)


class Requester:
    """Publishes requests at a rate until it is left; an async context manager."""

    def __init__(self, port: int, per_s: float, peripherals: list[str], seed: int = 1) -> None:
        self._port = port
        self._per_s = per_s
        self._peripherals = peripherals
        self._rng = random.Random(seed)
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="requester", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.max_inflight_messages_set(1000)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._client.connect, HOST, self._port)
        self._client.loop_start()
        self._task = asyncio.create_task(self._publish(), name="requests")
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def _publish(self) -> None:
        while True:
            for _ in range(_BURST):
                properties = Properties(PacketTypes.PUBLISH)
                if self._rng.random() < 0.3:
                    properties.ResponseTopic = self._rng.choice(_ODD_TOPICS)
                if self._rng.random() < 0.3:
                    properties.CorrelationData = self._rng.randbytes(self._rng.randrange(1000))
                topic, payload = self._request()
                self._client.publish(
                    topic, payload, qos=self._rng.choice((0, 1)), properties=properties
                )
            await asyncio.sleep(_BURST / self._per_s)

    def _request(self) -> tuple[str, bytes]:
        rng, verb = self._rng, self._rng.choice([*REQUESTS, "nonsense", "\u202e", "x" * 500])
        kind = rng.randrange(8)
        if kind == 0:
            return _REQUEST + verb, rng.randbytes(rng.randrange(200))
        if kind == 1:
            return _REQUEST + verb, b"[" * _DEEP + b"]" * _DEEP
        if kind == 2:
            return _REQUEST + verb, b'{"transaction":"' + b"a" * _LONG + b'"}'
        fields: dict[str, Any] = {"peripheral": rng.choice(self._peripherals)}
        if verb == "scan":
            fields = {"seconds": rng.choice((0.1, 1.0, 60.0))}
        elif verb.startswith("set_"):
            number = rng.choice((0, -1, 5, 100, 32_767, 1e9, 0.1))
            keys = REQUESTS[verb].model_fields
            fields |= {
                key: number for key in keys if key not in ("peripheral", "transaction", "time")
            }
        elif verb == "reconnect":
            # Ends links of well-behaved straps otherwise: that is what it is for.
            fields["peripheral"] = "flapper"
        return _REQUEST + verb, orjson.dumps(fields)
