"""Sends the outbox's samples over one connection: live ones at once, stored ones alongside."""

import asyncio
from functools import partial
from typing import NoReturn

from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.history import History
from healthd.mqtt.refusals import Refusals
from healthd.mqtt.retained_messages import RetainedMessages
from healthd.mqtt.retained_topics import RetainedTopics
from healthd.mqtt.topics import Topics
from healthd.mqtt.unacked import Acknowledgement
from healthd.outbox.outbox import Outbox
from healthd.outbox.pending import Pending
from healthd.runs import Run
from healthd.samples import Sample

# Live samples in flight. With a round trip of 1 ms, 20 allow more than 10,000 a second.
_WINDOW = 20


class Delivery:
    """The flow of samples to the broker, and which topics are parked."""

    def __init__(
        self,
        outbox: Outbox,
        topics: Topics,
        run: Run,
        retained: RetainedMessages,
        retained_topics: RetainedTopics,
    ) -> None:
        """Wire it; samples flow once ``run`` is called with a connection.

        Args:
            outbox: holds the samples.
            topics: of the gateway.
            run: the current run of the daemon; it encodes the payloads.
            retained: publishes retained samples again on every connect.
            retained_topics: records the topics that hold a retained message.
        """
        self._outbox = outbox
        self._topics = topics
        self._run = run
        self._retained = retained
        self._retained_topics = retained_topics
        self._refusals = Refusals(outbox, topics)
        self._parking = self._refusals.parking

    def retry_all(self) -> None:
        """Try every parked topic now."""
        self._parking.retry_all()

    def suspect(self, topic: str, reason: str) -> None:
        """Note that a message ended the connection, and why; see ``Refusals.suspect``."""
        self._refusals.suspect(topic, reason)

    def keep(self, sample: Sample) -> None:
        """Retain a result from the next connect on, besides its own delivery."""
        topic = self._topics.sample(sample.peripheral, sample.stream)
        if self._retained_topics.note_retained(sample.peripheral, topic):
            self._retained.note_sent(topic, self._run.payload(sample), sample.schema)

    async def run(self, client: AckedClient) -> None:
        """Send samples until this is cancelled.

        Raises:
            ConnectionLost: the connection is gone; in an exception group.
        """
        self._refusals.begin_connection()
        history = History(client, self._outbox, self._topics, self._run, self._refusals)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_live(client), name="mqtt live samples")
            tasks.create_task(history.publish(), name="mqtt history samples")
            tasks.create_task(history.retry(), name="mqtt parked topics")

    async def _publish_live(self, client: AckedClient) -> NoReturn:
        # As many as the broker accepts. Samples that wait in the client instead of the outbox
        # would still be sent live once they are old.
        window = asyncio.Semaphore(min(_WINDOW, client.window))
        while True:
            await window.acquire()
            pending = await self._outbox.live.next_pending()
            sample = pending.sample
            topic = self._topics.sample(sample.peripheral, sample.stream)
            payload, retain = self._run.payload(sample), sample.measurement.retained
            if self._parking.is_parked(topic, len(payload)):
                window.release()
                self._outbox.live.refuse(pending)
                continue
            if retain := retain and self._retained_topics.note_retained(sample.peripheral, topic):
                self._retained.note_sent(topic, payload, sample.schema)
            acknowledgement = client.send(topic, payload, retain=retain, schema=sample.schema)
            done = partial(self._live_done, window, topic, pending, len(payload))
            acknowledgement.add_done_callback(done)

    def _live_done(
        self,
        window: asyncio.Semaphore,
        topic: str,
        pending: Pending,
        size: int,
        result: Acknowledgement,
    ) -> None:
        window.release()
        if result.cancelled():
            return
        if (error := result.exception()) is None:
            self._parking.accept(topic, size)
            self._outbox.live.acknowledge(pending)
            return
        stream = (pending.sample.peripheral, pending.sample.stream)
        self._refusals.note_live(stream, topic, size, error)
        self._outbox.live.refuse(pending)
