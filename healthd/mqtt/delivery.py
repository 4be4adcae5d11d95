"""Sends the outbox's samples over one connection: live ones at once, stored ones alongside."""

import asyncio
from functools import partial
from typing import NoReturn

from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.parking import FIRST_S, Parking, Stream
from healthd.mqtt.retained_messages import RetainedMessages
from healthd.mqtt.retained_topics import RetainedTopics
from healthd.mqtt.topics import Topics
from healthd.mqtt.unacked import Acknowledgement
from healthd.outbox.outbox import Outbox
from healthd.outbox.pending import Pending
from healthd.outbox.schema import Stored
from healthd.runs import Run

# Live samples in flight. With a round trip of 1 ms, 20 allow more than 10,000 a second.
_LIVE_WINDOW = 20

# Half of that: a backlog drains fast, and a live sample never waits for more than ten old ones.
_HISTORY_WINDOW = 10

# Rows per read of the store: a fraction of a second of draining, well below a megabyte.
_HISTORY_BATCH = 250


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
        self._parking = Parking(outbox.note_parked)
        # Streams of which the broker has refused a message lately: they have one stored sample in
        # flight at a time. If it is refused as well, no younger sample has overtaken it.
        self._one_at_a_time: set[Stream] = set()

    def retry_all(self) -> None:
        """Try every parked topic now."""
        self._parking.retry_all()

    async def run(self, client: AckedClient) -> None:
        """Send samples until this is cancelled.

        Raises:
            ConnectionLost: the connection is gone; in an exception group.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_live(client), name="mqtt live samples")
            tasks.create_task(self._publish_history(client), name="mqtt history samples")
            tasks.create_task(self._retry_parked(), name="mqtt parked topics")

    async def _publish_live(self, client: AckedClient) -> NoReturn:
        window = asyncio.Semaphore(_LIVE_WINDOW)
        while True:
            await window.acquire()
            pending = await self._outbox.live.next_pending()
            sample = pending.sample
            topic = self._topics.sample(sample.peripheral, sample.stream)
            if self._parking.is_parked(topic):
                window.release()
                self._outbox.live.refuse(pending)
                continue
            payload, retain = self._run.payload(sample), sample.measurement.retained
            if retain := retain and self._retained_topics.note_retained(sample.peripheral, topic):
                self._retained.note_sent(topic, payload, sample.schema)
            acknowledgement = client.send(topic, payload, retain=retain, schema=sample.schema)
            acknowledgement.add_done_callback(partial(self._live_done, window, topic, pending))

    async def _publish_history(self, client: AckedClient) -> NoReturn:
        window = asyncio.Semaphore(_HISTORY_WINDOW)
        backlog = self._outbox.backlog
        while True:
            for stored in await backlog.next_batch(_HISTORY_BATCH, self._held_history):
                await window.acquire()
                stream = (stored.peripheral, stored.stream)
                topic = self._topics.history(*stream)
                if self._parking.is_parked(topic) or stream in self._one_at_a_time:
                    window.release()
                    backlog.release(stored.row)
                    continue
                payload = self._run.stored_payload(stored.payload, stored.stamp, stored.boot)
                acknowledgement = client.send(topic, payload, schema=stored.schema)
                done = partial(self._history_done, window, topic, stored)
                acknowledgement.add_done_callback(done)
                live = self._topics.sample(*stream)
                if self._parking.is_doubtful(live) or self._parking.is_doubtful(topic):
                    self._one_at_a_time.add(stream)

    def _held_history(self) -> list[Stream]:
        parked = self._parking.parked(lambda stream: self._topics.history(*stream))
        return [*parked, *self._one_at_a_time]

    async def _retry_parked(self) -> NoReturn:
        while True:
            await asyncio.sleep(FIRST_S)
            self._outbox.backlog.wake()

    def _live_done(
        self, window: asyncio.Semaphore, topic: str, pending: Pending, result: Acknowledgement
    ) -> None:
        window.release()
        if self._was_accepted(topic, result, (pending.sample.peripheral, pending.sample.stream)):
            self._outbox.live.acknowledge(pending)
        elif not result.cancelled():
            self._outbox.live.refuse(pending)

    def _history_done(
        self, window: asyncio.Semaphore, topic: str, stored: Stored, result: Acknowledgement
    ) -> None:
        window.release()
        stream = (stored.peripheral, stored.stream)
        if self._was_accepted(topic, result, stream):
            self._outbox.backlog.acknowledge(stored.row)
        else:
            self._outbox.backlog.release(stored.row)
        if stream in self._one_at_a_time:
            self._one_at_a_time.remove(stream)
            self._outbox.backlog.wake()

    def _was_accepted(self, topic: str, result: Acknowledgement, stream: Stream) -> bool:
        """Return whether the broker accepted the message; park its topic if it refused."""
        if result.cancelled():
            return False
        if error := result.exception():
            self._parking.park(stream, topic, str(error))
            return False
        self._parking.accept(topic)
        return True
