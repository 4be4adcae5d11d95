"""Holds one connection to one of the brokers, and runs everything that uses it."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import NoReturn

from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.brokers import SHORT_LIVED_S, Brokers
from healthd.mqtt.delivery import Delivery
from healthd.mqtt.endpoints import Endpoint
from healthd.mqtt.faults import ABOUT_THE_TOPIC, ConnectionLost, stalled
from healthd.mqtt.inbox import LONGEST_PAYLOAD, Inbox
from healthd.mqtt.limits import LearnedSizes
from healthd.mqtt.old_topics import OldTopics
from healthd.mqtt.payloads import Payload
from healthd.mqtt.reasons import PACKET_TOO_LARGE
from healthd.mqtt.retained_messages import RetainedMessages
from healthd.mqtt.retained_topics import RetainedTopics
from healthd.mqtt.topics import Topics
from healthd.mqtt.unacked import Acknowledgement
from healthd.outbox.outbox import Outbox
from healthd.runs import Run
from healthd.samples import Sample
from healthd.supervision.deadline import sleep
from healthd.supervision.supervisor import root_cause

# A healthy broker answers in milliseconds; 7.5 s was seen from a cluster that was losing a node.
_ACK_TIMEOUT_S = 10.0

# Clean stop: systemd allows 20 s, and closing links has used some of it. The disk keeps the rest.
# Together they are shorter than the wait for an acknowledgement, after which healthd reconnects.
DRAIN_S, _GOODBYE_S = 5.0, 3.0


class _CleanStop(Exception):
    """Ends the connection's task group from inside."""


class Publisher:
    """The gateway's connection to its broker, with everything that is published over it.

    Attributes:
        on_connection: called with the broker on each connection, and with None when it has ended.
    """

    def __init__(
        self,
        endpoints: tuple[Endpoint, ...],
        topics: Topics,
        outbox: Outbox,
        run: Run,
        inbox: Inbox,
        retained_topics: RetainedTopics,
    ) -> None:
        """Wire it; ``run`` connects.

        Args:
            endpoints: the brokers, tried in this order.
            topics: of the gateway.
            outbox: holds the samples.
            run: the current run of the daemon; it encodes the payloads.
            inbox: subscribes on each connection.
            retained_topics: records what is retained for peripherals.
        """
        self.on_connection: Callable[[Endpoint | None], None] = lambda _: None
        self._brokers = Brokers(endpoints)
        self._retained_topics = retained_topics
        self._topics = topics
        self._outbox = outbox
        self._inbox = inbox
        self._log = get_logger(service="mqtt")
        self._client: AckedClient | None = None
        self._retained = RetainedMessages()
        self._learned = LearnedSizes()
        self._old_topics = OldTopics(topics, inbox, retained_topics, self._retained.put)
        self._delivery = Delivery(outbox, topics, run, self._retained, retained_topics)
        self._short_lived = 0
        self._doubtful = False
        self._stopping = asyncio.Event()

    def retain(
        self, topic: str, payload: Payload | bytes, on_accepted: Callable[[], None] | None = None
    ) -> None:
        """Keep ``payload`` retained at ``topic``: publish it now, and again on every connect.

        An empty payload makes the broker remove what it keeps. ``on_accepted`` is called once the
        broker has accepted the message.
        """
        self._retained.put(topic, payload, on_accepted)

    def renew(self, *topics: str) -> None:
        """Publish the retained messages at these topics again."""
        self._retained.renew(*topics)

    def publish_once(
        self, topic: str, payload: bytes, schema: str, correlation: bytes | None
    ) -> Acknowledgement | None:
        """Publish on the current connection; return None if there is none.

        See ``AckedClient.send``.
        """
        if self._client is not None:
            with suppress(ConnectionLost):
                return self._client.send(topic, payload, schema=schema, correlation=correlation)
        return None

    def track_retained(self, peripheral: str) -> None:
        """Allow retained messages of a peripheral of the settings, and record their topics."""
        topics = self._topics
        self._retained_topics.add(
            peripheral, topics.device_status(peripheral), topics.device_info(peripheral)
        )

    def track_own_retained(self) -> None:
        """Record the gateway's own retained topics, and clear those of an earlier id or prefix.

        Call it after ``track_retained`` for each peripheral of the settings.
        """
        self._old_topics.find()

    def clear_retained(self, peripheral: str) -> None:
        """Clear the retained topics of a peripheral that is no longer in the settings."""
        if self._client is not None:
            # Subscribers get its last state before it is cleared.
            with suppress(ConnectionLost):
                self._retained.send(self._client)
        for topic in self._retained_topics.remove(peripheral):
            self._retained.put(topic, b"", partial(self._retained_topics.forget, peripheral, topic))
        self._log.info("retained topics cleared", peripheral=peripheral)

    def use_people(self, people: Iterable[str]) -> None:
        """Clear the retained results of people who are not in the settings any more."""
        for peripheral, topic in self._retained_topics.use_people(people):
            self._retained.put(topic, b"", partial(self._retained_topics.forget, peripheral, topic))

    def set_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Use these brokers from the next connection on, and try parked topics again there."""
        self._learned = LearnedSizes()
        self._brokers, self._short_lived, self._doubtful = Brokers(endpoints), 0, False
        self._delivery.retry_all()

    def on_live(self, sample: Sample) -> None:
        """Retain a result that is measured without a connection as soon as there is one.

        By then its delivery may be late. That goes to the history, and the topic of the result
        would go on to show an older one.
        """
        if self._client is None and sample.measurement.retained:
            self._delivery.keep(sample)

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Connect, and publish until the connection ends.

        Returns after ``drain_and_disconnect``; ends in any other case by raising.

        Raises:
            ConnectionLost: no broker could be reached, or the connection ended.
        """
        self._stopping.clear()
        async with AsyncExitStack() as stack:
            client = await self._connect(stack)
            self._client = client
            self.on_connection(client.endpoint)
            since = time.monotonic()
            self._retained.forget_sent()
            try:
                await self._use(client, mark_healthy)
            except ExceptionGroup as group:
                fault = root_cause(group)
                if not isinstance(fault, ConnectionLost):
                    raise
                lived_s = time.monotonic() - since
                self._learn(fault, client)
                self._inbox.ended(fault)
                self._short_lived = self._short_lived + 1 if lived_s < SHORT_LIVED_S else 0
                self._doubtful = self._short_lived > 1 or _carried_nothing(client)
                raise self._brokers.lost(fault, client.identifier, lived_s) from group
            finally:
                self._client = None
                self.on_connection(None)
                self._outbox.requeue_unacknowledged()

    def _learn(self, fault: ConnectionLost, client: AckedClient) -> None:
        """Note which message has ended a connection: it would end the next one, too."""
        if fault.reason == PACKET_TOO_LARGE:
            self._learned.note_too_large(client.address, client.largest_unacked())
        elif fault.code in ABOUT_THE_TOPIC and (topic := client.first_unacked()):
            self._delivery.suspect(topic, fault.problem)

    async def _use(self, client: AckedClient, mark_healthy: Callable[[], None]) -> None:
        """Publish over this connection until it ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(client.lost(), name="mqtt connection")
                tasks.create_task(self._until_stopping(), name="mqtt clean stop")
                tasks.create_task(self._settle(client, mark_healthy), name="mqtt health")
                tasks.create_task(
                    self._watch_acknowledgements(client), name="mqtt acknowledgements"
                )
                tasks.create_task(self._retained.keep_sent(client), name="mqtt retained topics")
                tasks.create_task(self._delivery.run(client), name="mqtt delivery")
                tasks.create_task(self._receive(client), name="mqtt inbox")
                tasks.create_task(self._old_topics.clear(), name="mqtt old topics")
        except* _CleanStop:
            # No exception leaves the client, so it disconnects properly, without the will.
            pass

    async def drain_and_disconnect(self, topic: str, last_payload: bytes) -> None:
        """Deliver the samples in memory, retain ``last_payload`` at ``topic``, and disconnect.

        It takes 8 s at most. Without a connection it returns at once: the broker
        has published the will, and the outbox keeps the samples.
        """
        if (client := self._client) is None:
            return
        client.hurry()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._outbox.live.settled()
        with suppress(ConnectionLost, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                # After everything that the sessions published when they stopped.
                self._retained.send(client)
                self._retained.put(topic, last_payload)
                if acknowledgement := self._retained.send(client):
                    await asyncio.wait([acknowledgement])
                self._stopping.set()
                await client.closed.wait()

    async def _receive(self, client: AckedClient) -> NoReturn:
        """Subscribe once the broker has answered the first of the retained messages.

        NATS handles what a client sends one after the other. In a cluster that has just lost a node
        SUBSCRIBE takes seconds, and the samples that follow would wait for it.
        """
        if client.oldest_unacked_s() > 0:
            await client.answered.wait()
        await self._inbox.run(client)

    async def _until_stopping(self) -> NoReturn:
        await self._stopping.wait()
        raise _CleanStop

    async def _connect(self, stack: AsyncExitStack) -> AckedClient:
        """Connect to the first broker that answers; start with the one that answered last time."""
        fault: ConnectionLost | None = None
        for endpoint, timeout_s in self._brokers.due():
            since = time.monotonic()
            try:
                client = AckedClient(endpoint, LONGEST_PAYLOAD, timeout_s)
                client.limit_packets(self._learned.limit(endpoint.address))
                await stack.enter_async_context(client)
            except ConnectionLost as error:
                fault = error
                self._brokers.failed(fault)
            else:
                self._brokers.connected(time.monotonic() - since)
                return client
        if fault is None:
            raise ValueError("no broker to connect to")
        raise self._brokers.reported(fault)

    async def _settle(self, client: AckedClient, mark_healthy: Callable[[], None]) -> None:
        """Note that the connection works; after one that did not, only once this one proves it.

        A broker that ends every connection would otherwise be logged each time.
        """
        while self._doubtful:
            await asyncio.sleep(SHORT_LIVED_S)
            self._doubtful = _carried_nothing(client)
        mark_healthy()
        self._brokers.settled()
        self._log.info("connected", broker=client.address, **client.limits.named())

    async def _watch_acknowledgements(self, client: AckedClient) -> None:
        while True:
            # The time left for the oldest publish; the others have more.
            left_s = _ACK_TIMEOUT_S - client.oldest_unacked_s()
            if left_s <= 0:
                raise stalled(_ACK_TIMEOUT_S)
            await sleep(left_s)


def _carried_nothing(client: AckedClient) -> bool:
    """Return whether the broker has answered none of the messages that were sent."""
    return client.oldest_unacked_s() > 0 and not client.answered.is_set()
