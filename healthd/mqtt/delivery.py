"""Sends the outbox's samples over one connection: live ones at once, stored ones alongside."""

import asyncio

from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.history import History
from healthd.mqtt.live_samples import LiveSamples
from healthd.mqtt.refusals import Refusals
from healthd.mqtt.retained_messages import RetainedMessages
from healthd.mqtt.retained_topics import RetainedTopics
from healthd.mqtt.topics import Topics
from healthd.outbox.outbox import Outbox
from healthd.runs import Run
from healthd.samples import Sample


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

    def retry_all(self) -> None:
        """Try every parked topic now."""
        self._refusals.parking.retry_all()

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
        live = LiveSamples(
            client,
            self._outbox.live,
            self._topics,
            self._run,
            self._refusals,
            self._retained,
            self._retained_topics,
        )
        self._outbox.before_flush = client.catch_up
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(live.publish(), name="mqtt live samples")
            tasks.create_task(history.publish(), name="mqtt history samples")
            tasks.create_task(history.retry(), name="mqtt parked topics")
