"""Holds one connection to one of the brokers, and runs everything that uses it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import NoReturn

from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.delivery import Delivery
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import RETRY, ConnectionLost, taken_over
from healthd.mqtt.inbox import LONGEST_PAYLOAD, Inbox
from healthd.mqtt.payloads import Payload
from healthd.mqtt.retained import Retained
from healthd.mqtt.topics import Topics
from healthd.mqtt.traces import Traces
from healthd.mqtt.unacked import Acknowledgement
from healthd.outbox.outbox import Outbox
from healthd.runs import Run

# A broker that is alive answers in milliseconds; 7.5 s was seen of a cluster losing a node.
_ACK_TIMEOUT_S = 10.0

# Brokers before MQTT 5, and mosquitto before 2.1, give no reason when a twin takes over. A broker
# that accepts and then closes three times in a row, each within seconds, has most likely one.
_SHORT_LIVED_S, _TWIN_SUSPECTED = 5.0, 3

# Clean stop: systemd allows 20 s, links have used some of it. What is left is kept on disk.
DRAIN_S = 5.0


class _Finished(Exception):
    """Ends the connection's task group from inside: the clean stop was asked for."""


class Publisher:
    """Delivers what the outbox holds and keeps the retained topics true."""

    def __init__(
        self,
        endpoints: tuple[Endpoint, ...],
        topics: Topics,
        outbox: Outbox,
        run: Run,
        inbox: Inbox,
        traces: Traces,
    ) -> None:
        """Try ``endpoints`` in turn, the first one first.

        Args:
            endpoints: the brokers.
            topics: of the gateway.
            outbox: holds the samples.
            run: that they are of, or are published by.
            inbox: listens on each connection.
            traces: remembers what is retained of peripherals.
        """
        self._endpoints = endpoints
        self._traces = traces
        self._current = 0
        self._topics = topics
        self._outbox = outbox
        self._inbox = inbox
        self._log = get_logger(service="mqtt")
        self._client: AckedClient | None = None
        self._retained = Retained()
        self._delivery = Delivery(outbox, topics, run, self._retained, traces)
        self._short_lived = 0
        self._finished = asyncio.Event()

    def retain(
        self, topic: str, payload: Payload | bytes, on_taken: Callable[[], None] | None = None
    ) -> None:
        """Keep ``topic`` at ``payload``: published now, and again on every connect.

        An empty one has the broker keep nothing. ``on_taken`` is called once it has taken it.
        """
        self._retained.put(topic, payload, on_taken)

    def renew(self, *topics: str) -> None:
        """Publish again what is kept at these topics."""
        self._retained.renew(*topics)

    def answer(
        self, topic: str, payload: bytes, schema: str, correlation: bytes | None
    ) -> Acknowledgement | None:
        """Publish once, on the connection that there is; None where there is none.

        See ``AckedClient.send``.
        """
        if self._client is not None:
            with suppress(ConnectionLost):
                return self._client.send(topic, payload, schema=schema, correlation=correlation)
        return None

    def admit(self, peripheral: str) -> None:
        """A peripheral of the settings: from now on something may be retained of it."""
        topics = self._topics
        self._traces.add(
            peripheral, topics.device_status(peripheral), topics.device_info(peripheral)
        )

    def withdraw(self, peripheral: str) -> None:
        """Have the broker keep nothing of a peripheral that is in the settings no more."""
        if self._client is not None:
            # The last that was said of it, for those who listen, before it is gone.
            with suppress(ConnectionLost):
                self._retained.send(self._client)
        for topic in self._traces.remove(peripheral):
            self._retained.put(topic, b"", partial(self._traces.forget, peripheral, topic))
        self._log.info("retained topics cleared", peripheral=peripheral)

    def use(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Try these in turn from the next connection on; what was refused may be taken there."""
        self._endpoints, self._current = endpoints, 0
        self._delivery.retry_all()

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """One connection's life. Returns after ``finish``, and otherwise ends by raising.

        Raises:
            ConnectionLost: no broker could be reached, or the connection ended.
        """
        self._finished.clear()
        async with AsyncExitStack() as stack:
            client = await self._connect(stack)
            self._client = client
            mark_healthy()
            self._retained.forget_sent()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._watch_connection(client), name="mqtt connection")
                    tasks.create_task(self._until_finished(), name="mqtt clean stop")
                    tasks.create_task(
                        self._watch_acknowledgements(client), name="mqtt acknowledgements"
                    )
                    tasks.create_task(self._retained.keep_sent(client), name="mqtt retained topics")
                    tasks.create_task(self._delivery.run(client), name="mqtt delivery")
                    tasks.create_task(self._inbox.run(client), name="mqtt inbox")
            except* _Finished:
                # Leaving without an error disconnects properly, so that the will stays unsaid.
                pass
            finally:
                self._client = None
                self._outbox.give_back()

    async def finish(self, topic: str, farewell: bytes) -> None:
        """Clean stop: deliver what memory holds, retain ``farewell``, disconnect.

        Each step is bounded by ``DRAIN_S``. Without a connection it returns at once: the broker
        has published the will, and the outbox keeps the samples.
        """
        if (client := self._client) is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._outbox.live.settled()
        with suppress(ConnectionLost, TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                # The last word: behind everything that the sessions said when they stopped.
                self._retained.send(client)
                self._retained.put(topic, farewell)
                if acknowledgement := self._retained.send(client):
                    await asyncio.wait([acknowledgement])
                self._finished.set()
                await client.closed.wait()

    async def _until_finished(self) -> NoReturn:
        await self._finished.wait()
        raise _Finished

    async def _connect(self, stack: AsyncExitStack) -> AckedClient:
        """Enter the first broker that answers, the one that answered last time first."""
        for tries_left in reversed(range(len(self._endpoints))):
            endpoint = self._endpoints[self._current]
            try:
                client = await stack.enter_async_context(AckedClient(endpoint, LONGEST_PAYLOAD))
            except ConnectionLost:
                self._current = (self._current + 1) % len(self._endpoints)
                if not tries_left:
                    raise
            else:
                self._log.info("connected", broker=f"{endpoint.host}:{endpoint.port}")
                return client
        raise ValueError("no broker to connect to")

    async def _watch_connection(self, client: AckedClient) -> None:
        since = time.monotonic()
        try:
            await client.lost()
        except ConnectionLost as error:
            short = error.reason == "broker_lost" and time.monotonic() - since < _SHORT_LIVED_S
            self._short_lived = self._short_lived + 1 if short else 0
            if self._short_lived >= _TWIN_SUSPECTED:
                raise taken_over(client.identifier) from error
            raise

    async def _watch_acknowledgements(self, client: AckedClient) -> None:
        while True:
            # What the oldest publish has left; a younger one can only have more.
            left_s = _ACK_TIMEOUT_S - client.oldest_unacked_s()
            if left_s <= 0:
                message = f"no acknowledgement for {_ACK_TIMEOUT_S:.0f} s"
                raise ConnectionLost("broker_stalled", message, RETRY)
            await asyncio.sleep(left_s)
