"""Keeps one connection to one of the brokers and moves samples and retained state over it."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import NoReturn

from healthd.log import get_logger
from healthd.mqtt.acked_client import RETRY, AckedClient, ConnectionLost, Endpoint, Refused
from healthd.mqtt.topics import Topics
from healthd.outbox.outbox import Outbox, Pending

# Samples with the broker at once: 20 keep a round trip of 1 ms at over 10,000 a second.
_LIVE_WINDOW = 20

# Half of that: a backlog drains fast, and a live sample never waits behind more than ten old ones.
_HISTORY_WINDOW = 10

# One read of the store: a fraction of a second of draining, well below a megabyte.
_HISTORY_BATCH = 250

# A broker that is alive answers in milliseconds; 7.5 s was seen of a cluster losing a node.
_ACK_TIMEOUT_S = 10.0

# Clean stop: systemd allows 20 s, links have used some of it. What is left is kept on disk.
DRAIN_S = 5.0

Acknowledgement = asyncio.Future[None]


class _Finished(Exception):
    """Ends the connection's task group from inside: the clean stop was asked for."""


class Publisher:
    """Delivers what the outbox holds and keeps the retained topics true."""

    def __init__(self, endpoints: tuple[Endpoint, ...], topics: Topics, outbox: Outbox) -> None:
        """Try ``endpoints`` in turn, the first one first."""
        self._endpoints = endpoints
        self._current = 0
        self._topics = topics
        self._outbox = outbox
        self._log = get_logger(service="mqtt")
        self._client: AckedClient | None = None
        self._retained: dict[str, bytes] = {}
        self._unsent: dict[str, None] = {}
        self._retained_changed = asyncio.Event()
        self._refused_topics: set[str] = set()
        self._finished = asyncio.Event()

    def retain(self, topic: str, payload: bytes) -> None:
        """Keep ``topic`` at ``payload``: published now, and again on every connect."""
        if self._retained.get(topic) != payload:
            self._retained[topic] = payload
            self._unsent[topic] = None
            self._retained_changed.set()

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """One connection's life. Returns after ``finish``, and otherwise ends by raising.

        Raises:
            ConnectionLost: no broker could be reached, or the connection ended.
        """
        async with AsyncExitStack() as stack:
            client = await self._connect(stack)
            self._client = client
            mark_healthy()
            self._unsent = dict.fromkeys(self._retained)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(client.lost())
                    tasks.create_task(self._until_finished())
                    tasks.create_task(self._watch_acknowledgements(client))
                    tasks.create_task(self._publish_retained(client))
                    tasks.create_task(self._publish_live(client))
                    tasks.create_task(self._publish_history(client))
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
                await self._outbox.settled()
        with suppress(ConnectionLost, TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                acknowledgement = client.send(topic, farewell, retain=True)
                acknowledgement.add_done_callback(partial(self._retained_done, topic))
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
                client = await stack.enter_async_context(AckedClient(endpoint))
            except ConnectionLost:
                self._current = (self._current + 1) % len(self._endpoints)
                if not tries_left:
                    raise
            else:
                self._log.info("connected", broker=f"{endpoint.host}:{endpoint.port}")
                return client
        raise ValueError("no broker to connect to")

    async def _watch_acknowledgements(self, client: AckedClient) -> None:
        while True:
            # What the oldest publish has left; a younger one can only have more.
            left_s = _ACK_TIMEOUT_S - client.oldest_unacked_s()
            if left_s <= 0:
                message = f"no acknowledgement for {_ACK_TIMEOUT_S:.0f} s"
                raise ConnectionLost("broker_stalled", message, RETRY)
            await asyncio.sleep(left_s)

    async def _publish_retained(self, client: AckedClient) -> None:
        while True:
            self._retained_changed.clear()
            topics, self._unsent = self._unsent, {}
            for topic in topics:
                acknowledgement = client.send(topic, self._retained[topic], retain=True)
                acknowledgement.add_done_callback(partial(self._retained_done, topic))
            await self._retained_changed.wait()

    async def _publish_live(self, client: AckedClient) -> None:
        window = asyncio.Semaphore(_LIVE_WINDOW)
        while True:
            await window.acquire()
            pending = await self._outbox.take()
            sample = pending.sample
            topic, payload = self._topics.sample(sample.peripheral, sample.stream), sample.payload()
            retain = sample.measurement.retained
            if retain:
                self._retained[topic] = payload
            acknowledgement = client.send(topic, payload, retain=retain, schema=sample.schema)
            acknowledgement.add_done_callback(partial(self._live_done, window, topic, pending))

    async def _publish_history(self, client: AckedClient) -> None:
        window = asyncio.Semaphore(_HISTORY_WINDOW)
        last_row = 0
        while True:
            for stored in await self._outbox.backlog(last_row, _HISTORY_BATCH):
                await window.acquire()
                last_row = stored.row
                topic = self._topics.history(stored.peripheral, stored.stream)
                acknowledgement = client.send(topic, stored.payload, schema=stored.schema)
                done = partial(self._history_done, window, topic, stored.row)
                acknowledgement.add_done_callback(done)

    def _live_done(
        self, window: asyncio.Semaphore, topic: str, pending: Pending, result: Acknowledgement
    ) -> None:
        window.release()
        if self._accepted(topic, result):
            self._outbox.acknowledge(pending)
        elif not result.cancelled():
            self._outbox.refuse(pending)

    def _history_done(
        self, window: asyncio.Semaphore, topic: str, row: int, result: Acknowledgement
    ) -> None:
        window.release()
        if self._accepted(topic, result):
            self._outbox.forget(row)

    def _retained_done(self, topic: str, result: Acknowledgement) -> None:
        self._accepted(topic, result)

    def _accepted(self, topic: str, result: Acknowledgement) -> bool:
        """True where the broker has it; a refusal is told once a topic and blocks no other."""
        if result.cancelled():
            return False
        if (error := result.exception()) is None:
            return True
        assert isinstance(error, Refused)  # the client resolves to nothing else
        if topic not in self._refused_topics:
            self._refused_topics.add(topic)
            self._log.error("topic refused by the broker", topic=topic, error=str(error))
        return False
