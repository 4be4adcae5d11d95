"""A subscriber that keeps numbers and times, not messages: under attack there are very many."""

import asyncio
import re
import time
from collections import Counter, defaultdict
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.support.mosquitto import HOST

_ROOT = "healthd/gateway/"
_ID = re.compile(rb'^\{"id":"[0-9a-f]{8}-([1-9][0-9]*)",')


class Arrival(NamedTuple):
    """How a numbered measurement arrived first.

    Attributes:
        at: by the monotonic clock.
        live: at its live topic; else as history.
    """

    at: float
    live: bool


class Listener:
    """Everything that the gateway publishes; an async context manager, subscribed once entered.

    Attributes:
        numbers: the numbers of measurements that arrived, by strap.
        seqs: by stream (peripheral and rest of the topic), which numbers of healthd arrived: a byte
            that is 1 for each.
        gaps: the gap events.
        sending: the peripherals of which samples arrived.
        topics: how many messages arrived at each topic.
        sizes: the longest payload at each topic, in bytes.
    """

    def __init__(self, port: int) -> None:
        self.numbers: defaultdict[str, dict[int, Arrival]] = defaultdict(dict)
        self.seqs: defaultdict[tuple[str, str], bytearray] = defaultdict(bytearray)
        self.gaps: list[dict[str, Any]] = []
        self.sending: set[str] = set()
        self.topics: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self._port = port
        self._subscribed = asyncio.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="listener", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._client.connect, HOST, self._port)
        self._client.loop_start()
        async with asyncio.timeout(15):
            await self._subscribed.wait()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        self._client.on_connect = self._client.on_subscribe = self._client.on_message = None

    # Called from paho's thread.

    def _on_connect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        client.subscribe("#", qos=1)

    def _on_subscribe(
        self, client: Client, userdata: Any, mid: int, reasons: list[Any], properties: Any
    ) -> None:
        self._loop.call_soon_threadsafe(self._subscribed.set)

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        at, topic = time.monotonic(), message.topic
        self.topics[topic] += 1
        self.sizes[topic] = max(self.sizes[topic], len(message.payload))
        levels = topic.removeprefix(_ROOT).split("/")
        if levels[:2] == ["event", "gap"]:
            self.gaps.append(orjson.loads(message.payload))
        elif levels[0] == "device" and (found := _ID.match(message.payload)):
            peripheral, *stream = levels[1:]
            self.sending.add(peripheral)
            live = stream[-1] != "history"
            self._note((peripheral, "/".join(stream if live else stream[:-1])), int(found[1]))
            if peripheral.startswith("strap") and stream[0] == "heart_rate":
                number = orjson.loads(message.payload).get("energy_expended_kj")
                if number is not None:
                    self.numbers[peripheral].setdefault(number, Arrival(at, live))

    def _note(self, stream: tuple[str, str], seq: int) -> None:
        seen = self.seqs[stream]
        if seq >= len(seen):
            seen.extend(bytes(seq + 1 - len(seen)))
        seen[seq] = 1

    def unnamed(self) -> dict[tuple[str, str], list[int]]:
        """Return the numbers below the last one of a stream that neither arrived nor are in a gap.

        At most ten of each stream.
        """
        found: dict[tuple[str, str], list[int]] = {}
        for stream, seen in tuple(self.seqs.items()):
            known = bytearray(seen)
            for gap in tuple(self.gaps):
                # What was left out before it got a number is counted, too, but has no number.
                if (gap["peripheral"], gap["stream"]) == stream and "last_seq" in gap:
                    first, last = gap["first_seq"], gap["last_seq"]
                    known[first : last + 1] = b"\1" * (min(last + 1, len(known)) - first)
            if missing := [seq for seq in range(1, len(known)) if not known[seq]]:
                found[stream] = missing[:10]
        return found
