"""Sends live samples over one connection, each in the turn of the loop in which it arrives.

Every further turn of the event loop would cost a tenth of a sample's CPU. So there is no task that
waits for samples, and no future that waits for the broker's answer.
"""

import asyncio
from typing import NoReturn

from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.refusals import Refusals
from healthd.mqtt.retained_messages import RetainedMessages
from healthd.mqtt.retained_topics import RetainedTopics
from healthd.mqtt.topics import Topics
from healthd.outbox.live import LivePath
from healthd.outbox.pending import Pending
from healthd.runs import Run

# Live samples in flight. With a round trip of 1 ms, 20 allow more than 10,000 a second.
_WINDOW = 20


class LiveSamples:
    """The live samples that one connection carries; make a new one for every connection."""

    def __init__(
        self,
        client: AckedClient,
        live: LivePath,
        topics: Topics,
        run: Run,
        refusals: Refusals,
        retained: RetainedMessages,
        retained_topics: RetainedTopics,
    ) -> None:
        """Wire it; ``publish`` sends.

        Args:
            client: the connection.
            live: holds the samples.
            topics: of the gateway.
            run: the current run of the daemon; it encodes the payloads.
            refusals: what the broker has refused.
            retained: publishes retained samples again on every connect.
            retained_topics: records the topics that hold a retained message.
        """
        self._client = client
        self._live = live
        self._topics = topics
        self._run = run
        self._refusals = refusals
        self._parking = refusals.parking
        self._retained = retained
        self._retained_topics = retained_topics
        # As many as the broker accepts. Samples that wait in the client instead of the outbox
        # would still be sent live once they are old.
        self._free = min(_WINDOW, client.window)
        self._failed: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()

    async def publish(self) -> NoReturn:
        """Send samples as they arrive, until this is cancelled.

        Raises:
            ConnectionLost: the connection is gone.
        """
        self._live.on_arrival = self._send_waiting
        try:
            self._send_waiting()
            await self._failed
        finally:
            self._live.on_arrival = _nothing
        raise AssertionError("only an error ends it")

    def _send_waiting(self) -> None:
        """Send what waits, as far as the window allows."""
        try:
            while self._free and (pending := self._live.take()) is not None:
                self._send(pending)
        except Exception as error:
            self._free = 0
            if not self._failed.done():
                self._failed.set_exception(error)
        self._client.catch_up()

    def _send(self, pending: Pending) -> None:
        sample = pending.sample
        topic = self._topics.sample(sample.peripheral, sample.stream)
        payload, schema = self._run.payload(sample), sample.schema
        if self._parking.is_parked(topic, len(payload)):
            self._live.refuse(pending)
            return
        retain = sample.measurement.retained
        if retain and (retain := self._retained_topics.note_retained(sample.peripheral, topic)):
            self._retained.note_sent(topic, payload, schema)
        self._free -= 1
        # An event waits for the answer to the one before it; see ``outbox.event_order``.
        urgent = not sample.peripheral
        answer = _Sent(self, pending, topic, len(payload))
        self._client.deliver(topic, payload, answer, retain=retain, schema=schema, urgent=urgent)

    def accepted(self, sent: "_Sent") -> None:
        """Handle that the broker has a sample."""
        self._free += 1
        self._parking.accept(sent.topic, sent.size)
        self._live.acknowledge(sent.pending)
        self._send_waiting()

    def refused(self, sent: "_Sent", error: Exception) -> None:
        """Handle that the broker refuses a sample."""
        self._free += 1
        stream = sent.pending.sample_stream
        self._refusals.note_live(stream, sent.topic, sent.size, error)
        self._live.refuse(sent.pending)
        self._send_waiting()


class _Sent:
    """A sample that was sent: gets the broker's answer."""

    __slots__ = ("_samples", "pending", "size", "topic")

    def __init__(self, samples: LiveSamples, pending: Pending, topic: str, size: int) -> None:
        self._samples = samples
        self.pending = pending
        self.topic = topic
        self.size = size

    def done(self) -> bool:
        return False

    def set_result(self, _result: None, /) -> None:
        self._samples.accepted(self)

    def set_exception(self, error: Exception, /) -> None:
        self._samples.refused(self, error)

    def cancel(self) -> None:
        # The outbox queues it again once the connection is gone.
        pass


def _nothing() -> None:
    """No connection."""
