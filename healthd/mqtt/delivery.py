"""Sends the outbox's samples over one connection: live ones at once, stored ones alongside."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.faults import ABOUT_THE_TOPIC, TOO_LARGE, PublishRefused
from healthd.mqtt.parking import FIRST_S, Parking, Stream
from healthd.mqtt.pauses import Pauses
from healthd.mqtt.retained_messages import RetainedMessages
from healthd.mqtt.retained_topics import RetainedTopics
from healthd.mqtt.send_quota import HISTORY
from healthd.mqtt.topics import Place, Topics, place_of
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

# A subscriber with a full queue makes the broker refuse for hours: one line in the log says so.
_SAME_TROUBLE_S = 300.0

# Larger than any payload.
_ANY_SIZE = sys.maxsize


class _Flight:
    """The samples of one connection that are not acknowledged yet."""

    def __init__(self, client: AckedClient) -> None:
        # As many as the broker accepts. Samples that wait in the client instead of the outbox
        # would still be sent live once they are old.
        self.live = asyncio.Semaphore(min(_LIVE_WINDOW, client.window))
        self.history = asyncio.Semaphore(min(_HISTORY_WINDOW, max(1, client.window // 2)))
        self.of_history = Counter[Stream]()


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
        self._pauses = Pauses()
        # Streams of which a stored sample went back since the disk was last read. Younger ones
        # from the same read must not overtake it.
        self._went_back: set[Stream] = set()
        # Streams that the disk was last read without, because one of their samples is in flight.
        self._alone: set[Stream] = set()
        # Topics of which the backlog leaves out messages that are too large.
        self._left_out: set[str] = set()
        # The topic of the message at which the last connection ended.
        self._suspect = ""
        # When the broker last could not take a sample of a stream.
        self._refused_at: dict[Stream, float] = {}
        self._log = get_logger(service="mqtt")

    def retry_all(self) -> None:
        """Try every parked topic now."""
        self._parking.retry_all()

    def suspect(self, topic: str, reason: str) -> None:
        """Park a topic of samples at which connections end.

        Some brokers, such as AWS IoT Core, disconnect a client instead of refusing a message. The
        first time may be chance, as the broker's reason names no topic.
        """
        place = place_of(topic, self._topics.prefix)
        if place is None or not self._is_of_samples(topic, place):
            return
        if topic == self._suspect or self._parking.is_doubtful(topic):
            self._parking.park((place.peripheral, place.stream), topic, reason)
        self._suspect = topic

    def _is_of_samples(self, topic: str, place: Place) -> bool:
        stream = (place.peripheral, place.stream)
        retained = (self._topics.device_status(stream[0]), self._topics.device_info(stream[0]))
        has_samples = bool(stream[0]) or stream[1].startswith("event/")
        of_stream = (self._topics.sample(*stream), self._topics.history(*stream))
        return has_samples and topic in of_stream and topic not in retained

    async def run(self, client: AckedClient) -> None:
        """Send samples until this is cancelled.

        Raises:
            ConnectionLost: the connection is gone; in an exception group.
        """
        flight = _Flight(client)
        self._pauses.end_all()
        self._parking.retry_large()
        self._left_out.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_live(client, flight), name="mqtt live samples")
            tasks.create_task(self._publish_history(client, flight), name="mqtt history samples")
            tasks.create_task(self._retry_parked(), name="mqtt parked topics")

    async def _publish_live(self, client: AckedClient, flight: _Flight) -> NoReturn:
        while True:
            await flight.live.acquire()
            pending = await self._outbox.live.next_pending()
            sample = pending.sample
            topic = self._topics.sample(sample.peripheral, sample.stream)
            payload, retain = self._run.payload(sample), sample.measurement.retained
            if self._parking.is_parked(topic, len(payload)):
                flight.live.release()
                self._outbox.live.refuse(pending)
                continue
            if retain := retain and self._retained_topics.note_retained(sample.peripheral, topic):
                self._retained.note_sent(topic, payload, sample.schema)
            acknowledgement = client.send(topic, payload, retain=retain, schema=sample.schema)
            done = partial(self._live_done, flight, topic, pending, len(payload))
            acknowledgement.add_done_callback(done)

    async def _publish_history(self, client: AckedClient, flight: _Flight) -> NoReturn:
        skip = partial(self._held_history, flight)
        while True:
            for stored in await self._outbox.backlog.next_batch(_HISTORY_BATCH, skip):
                await flight.history.acquire()
                topic = self._topics.history(stored.peripheral, stored.stream)
                payload = self._run.stored_payload(stored.payload, stored.stamp, stored.boot)
                if not self._may_send(stored, topic, len(payload), flight):
                    flight.history.release()
                    continue
                acknowledgement = client.send(
                    topic, payload, schema=stored.schema, priority=HISTORY
                )
                flight.of_history[stored.peripheral, stored.stream] += 1
                done = partial(self._history_done, flight, topic, stored, len(payload))
                acknowledgement.add_done_callback(done)

    def _may_send(self, stored: Stored, topic: str, size: int, flight: _Flight) -> bool:
        """Return whether to send a stored sample now; put it back if not."""
        stream = (stored.peripheral, stored.stream)
        if stream not in self._went_back:
            if self._parking.is_parked(topic, size) and not self._parking.is_parked(topic):
                self._leave_out(stored, topic)
                return False
            if not self._is_held(stream, topic, size, flight):
                return True
        self._put_back(stored)
        return False

    def _is_held(self, stream: Stream, topic: str, size: int, flight: _Flight) -> bool:
        if self._pauses.is_paused(stream) or self._parking.is_parked(topic, size):
            return True
        return flight.of_history[stream] > 0 and self._goes_alone(stream, size)

    def _goes_alone(self, stream: Stream, size: int = 0) -> bool:
        """Return whether only one stored sample of a stream may be in flight at a time.

        If that one is refused, no younger sample has overtaken it.
        """
        if not stream[0]:
            return True  # an event: consumers keep the last one
        if not self._pauses and not self._parking:
            return False
        return (
            self._pauses.is_doubtful(stream)
            or self._parking.is_doubtful(self._topics.history(*stream), size)
            or self._parking.is_doubtful(self._topics.sample(*stream), size)
        )

    def _held_history(self, flight: _Flight) -> list[Stream]:
        self._went_back.clear()
        parked = self._parking.parked(lambda stream: self._topics.history(*stream))
        self._alone = {stream for stream in flight.of_history if self._goes_alone(stream)}
        return [*parked, *self._pauses.paused(), *self._alone]

    async def _retry_parked(self) -> NoReturn:
        while True:
            await asyncio.sleep(FIRST_S)
            if any(not self._parking.is_parked(topic, _ANY_SIZE) for topic in self._left_out):
                self._left_out.clear()
                self._outbox.backlog.read_left_out()
            self._outbox.backlog.wake()

    def _live_done(
        self, flight: _Flight, topic: str, pending: Pending, size: int, result: Acknowledgement
    ) -> None:
        flight.live.release()
        if result.cancelled():
            return
        if (error := result.exception()) is None:
            self._parking.accept(topic, size)
            self._outbox.live.acknowledge(pending)
            return
        stream = (pending.sample.peripheral, pending.sample.stream)
        if not self._park(stream, topic, size, error):
            self._pause(stream, topic, error, self._pauses.begin)
        self._outbox.live.refuse(pending)

    def _history_done(
        self, flight: _Flight, topic: str, stored: Stored, size: int, result: Acknowledgement
    ) -> None:
        flight.history.release()
        stream = (stored.peripheral, stored.stream)
        flight.of_history[stream] -= 1
        if not flight.of_history[stream]:
            del flight.of_history[stream]
        if result.cancelled():
            self._outbox.backlog.release(stored.row)
            return
        if (error := result.exception()) is None:
            self._parking.accept(topic, size)
            self._pauses.end(stream)
            self._outbox.acknowledge_stored(stored)
        elif not self._park(stream, topic, size, error):
            self._put_back(stored)
            self._pause(stream, topic, error, self._pauses.extend)
        elif self._parking.is_parked(topic):
            self._put_back(stored)
        else:
            self._leave_out(stored, topic)
        if stream in self._alone or stream in self._went_back:
            self._outbox.backlog.wake()

    def _park(self, stream: Stream, topic: str, size: int, error: BaseException) -> bool:
        """Park the topic if the refusal is about it; return whether it is."""
        if not isinstance(error, PublishRefused) or error.code not in ABOUT_THE_TOPIC:
            return False
        # Live samples that are small enough go on. Stored ones wait behind a large one, so that
        # their order is kept, unless the limit is known or seems to stay.
        waits = topic == self._topics.history(*stream) and bool(stream[0])
        waits = waits and error.was_sent and not self._parking.is_refused_for_long(topic)
        by_size = error.code == TOO_LARGE and not waits
        self._parking.park(stream, topic, str(error), size if by_size else 0)
        return True

    def _put_back(self, stored: Stored) -> None:
        """Put a stored sample back in its place; younger ones wait for it."""
        self._went_back.add((stored.peripheral, stored.stream))
        self._outbox.backlog.release(stored.row)

    def _leave_out(self, stored: Stored, topic: str) -> None:
        """Put a stored sample back that is too large; younger ones go first."""
        self._left_out.add(topic)
        self._outbox.backlog.leave_out(stored.row)

    def _pause(
        self,
        stream: Stream,
        topic: str,
        error: BaseException,
        pause: Callable[[Stream], float],
    ) -> None:
        """Leave a stream's history alone for a while; live samples go on."""
        before, now = self._refused_at.get(stream, float("-inf")), time.monotonic()
        self._refused_at[stream] = now
        if now - before > _SAME_TROUBLE_S:
            hint = "the outbox keeps what was refused and sends it again"
            self._log.warning("refused for now", topic=topic, error=str(error), hint=hint)
        if delay_s := pause(stream):
            asyncio.get_running_loop().call_later(delay_s, self._outbox.backlog.wake)
