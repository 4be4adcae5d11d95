"""A connection of its own for requests to stop and release: no other request can delay them.

A broker keeps a limited number of messages for a client that is slow, and drops the rest. A flood
of other requests fills only the queue of the connection that subscribes to those.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace

from healthd.errors import Backoff
from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.arrivals import Message
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ConnectionLost, SubscribeRefused
from healthd.mqtt.inbox import LONGEST_PAYLOAD
from healthd.mqtt.unacked import Acknowledgement

# A broker that is restarted is back in seconds. One that allows a user a single connection, or only
# some client ids, stays so until a person changes it.
_RETRY = Backoff(first_s=1.0, ceiling_s=300.0)

# A connection that lived for this long had no fault of its own.
_WORKED_S = 60.0

# Some brokers use the user name as client id: then the second connection ends the first one, at
# once. The first time may be chance. A broker that fails again and again looks the same.
_TAKEN_OVER_S, _CHANCE, _LEFT_ALONE_S = 5.0, 1, 600.0

_SHARED = "they share the connection of all requests, on which a flood of others can delay them"


class StopLine:
    """The second connection, to the broker that the gateway uses, as long as it is needed."""

    def __init__(
        self,
        on_message: Callable[[Message], None],
        on_change: Callable[[], None],
    ) -> None:
        """Prepare; it needs ``use`` and ``subscribe_to``.

        Args:
            on_message: called with each message.
            on_change: called when it begins to receive, and when it ends.
        """
        self._on_message = on_message
        self._on_change = on_change
        self._topics: tuple[str, ...] = ()
        self._endpoint: Endpoint | None = None
        self._client: AckedClient | None = None
        self._since = float("-inf")
        self._took_over = 0
        self._left_alone_until = float("-inf")
        self._changed = asyncio.Event()
        self._log = get_logger(service="stop requests")

    @property
    def is_up(self) -> bool:
        """Whether it receives."""
        return self._client is not None

    def subscribe_to(self, topics: Collection[str]) -> None:
        """Subscribe to these topics from now on; without any there is no connection."""
        if self._topics != tuple(topics):
            self._topics = tuple(topics)
            self._changed.set()

    def use(self, endpoint: Endpoint | None) -> None:
        """Note which broker the gateway is connected to now; None: its connection has ended."""
        if endpoint is None:
            if time.monotonic() - self._since < _TAKEN_OVER_S:
                self._judge()
            else:
                self._took_over = 0
        elif endpoint != self._endpoint and time.monotonic() >= self._left_alone_until:
            self._endpoint = endpoint
            self._changed.set()

    def publish(
        self, topic: str, payload: bytes, schema: str, correlation: bytes | None
    ) -> Acknowledgement | None:
        """Publish a response; return None if there is no connection."""
        if self._client is not None:
            with suppress(ConnectionLost):
                return self._client.send(topic, payload, schema=schema, correlation=correlation)
        return None

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Keep the connection until cancelled. Without it, requests arrive over the other one."""
        mark_healthy()
        wait_s: float | None = None
        while True:
            self._changed.clear()
            if self._endpoint is None or not self._topics:
                await self._changed.wait()
                continue
            began = time.monotonic()
            problem = await self._hold(self._endpoint, self._topics)
            if problem is None:
                wait_s = None
                continue
            if time.monotonic() - began > _WORKED_S:
                wait_s = None
            log = self._log.debug if wait_s else self._log.warning
            log("no connection of their own", error=problem, hint=_SHARED)
            wait_s = _RETRY.after(wait_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    async def _hold(self, endpoint: Endpoint, topics: Collection[str]) -> str | None:
        """Connect and receive; return why that ended, or None if something else is wanted."""
        own = replace(endpoint, client_id=f"{endpoint.client_id}-stop", will_topic=None)
        try:
            async with AckedClient(own, LONGEST_PAYLOAD) as client:
                for topic in topics:
                    await client.subscribe_to(topic, as_published=True)
                self._begin(client)
                reading = asyncio.create_task(self._read(client), name="stop requests")
                changed = asyncio.create_task(self._changed.wait(), name="stop line changed")
                try:
                    await asyncio.wait((reading, changed), return_when=asyncio.FIRST_COMPLETED)
                    if reading.done():
                        reading.result()
                finally:
                    self._end()
                    reading.cancel()
                    changed.cancel()
        except (ConnectionLost, SubscribeRefused) as error:
            return str(error)
        return None

    async def _read(self, client: AckedClient) -> None:
        # Many at a time: of a flood of requests to stop, too, each is carried out or joined.
        async for messages in client.batches():
            for message in messages:
                try:
                    self._on_message(message)
                except Exception as error:
                    # A bug that a message triggers must not affect other messages.
                    self._log.exception("crashed", exc_info=error)

    def _begin(self, client: AckedClient) -> None:
        self._client, self._since = client, time.monotonic()
        self._log.info("have a connection of their own", broker=client.address)
        self._on_change()

    def _end(self) -> None:
        self._client = None
        self._on_change()

    def _judge(self) -> None:
        """Give up for a while if this connection seems to have ended the other one."""
        self._took_over += 1
        if self._took_over > _CHANCE:
            self._endpoint, self._took_over = None, 0
            self._left_alone_until = time.monotonic() + _LEFT_ALONE_S
            self._changed.set()
            self._log.warning(
                "no connection of their own",
                error="the broker ended the other connection of this gateway because of it",
                hint=_SHARED,
            )
