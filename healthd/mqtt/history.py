"""Sends stored samples over one connection, and decides which of them may be sent now."""

import asyncio
import sys
from collections import Counter
from functools import partial
from typing import NoReturn

from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.parking import FIRST_S, Stream
from healthd.mqtt.refusals import Refusals
from healthd.mqtt.send_quota import HISTORY
from healthd.mqtt.topics import Topics
from healthd.mqtt.unacked import Acknowledgement
from healthd.outbox.outbox import Outbox
from healthd.outbox.schema import Stored
from healthd.runs import Run

# Half the window of live samples: a backlog drains fast, and a live sample never waits for more
# than ten old ones.
_WINDOW = 10

# Rows per read of the store: a fraction of a second of draining, well below a megabyte.
_BATCH = 250

# Larger than any payload.
_ANY_SIZE = sys.maxsize


class History:
    """The stored samples that one connection carries; make a new one for every connection."""

    def __init__(
        self, client: AckedClient, outbox: Outbox, topics: Topics, run: Run, refusals: Refusals
    ) -> None:
        """Wire it; ``publish`` and ``retry`` do the work.

        Args:
            client: the connection.
            outbox: holds the samples.
            topics: of the gateway.
            run: the current run of the daemon; it completes the payloads.
            refusals: what the broker has refused.
        """
        self._client = client
        self._outbox = outbox
        self._topics = topics
        self._run = run
        self._refusals = refusals
        self._parking = refusals.parking
        self._pauses = refusals.pauses
        self._window = asyncio.Semaphore(min(_WINDOW, max(1, client.window // 2)))
        # How many samples of each stream are not acknowledged yet.
        self._in_flight = Counter[Stream]()
        # Streams of which a stored sample went back since the disk was last read. Younger ones
        # from the same read must not overtake it.
        self._went_back: set[Stream] = set()
        # Streams that the disk was last read without, because one of their samples is in flight.
        self._alone: set[Stream] = set()
        # Streams whose next sample has to wait until the one in flight is answered.
        self._behind: set[Stream] = set()
        # Topics of which the backlog leaves out messages that are too large.
        self._left_out: set[str] = set()

    async def publish(self) -> NoReturn:
        """Send stored samples, oldest first, until this is cancelled.

        Raises:
            ConnectionLost: the connection is gone.
        """
        while True:
            for stored in await self._outbox.backlog.next_batch(_BATCH, self._held):
                await self._window.acquire()
                topic = self._topics.history(stored.peripheral, stored.stream)
                payload = self._run.stored_payload(stored.payload, stored.stamp, stored.boot)
                if not self._may_send(stored, topic, len(payload)):
                    self._window.release()
                    continue
                acknowledgement = self._client.send(
                    topic, payload, schema=stored.schema, priority=HISTORY
                )
                self._in_flight[stored.peripheral, stored.stream] += 1
                done = partial(self._done, topic, stored, len(payload))
                acknowledgement.add_done_callback(done)

    async def retry(self) -> NoReturn:
        """Make ``publish`` try parked topics, and what was left out, again when it is time."""
        while True:
            await asyncio.sleep(FIRST_S)
            if any(not self._parking.is_parked(topic, _ANY_SIZE) for topic in self._left_out):
                self._left_out.clear()
                self._outbox.backlog.read_left_out()
            self._outbox.backlog.wake()

    def _may_send(self, stored: Stored, topic: str, size: int) -> bool:
        """Return whether to send a stored sample now; put it back if not."""
        stream = (stored.peripheral, stored.stream)
        if stream not in self._went_back:
            if self._parking.is_parked(topic, size) and not self._parking.is_parked(topic):
                self._leave_out(stored, topic)
                return False
            if not self._is_held(stream, topic, size):
                return True
        self._put_back(stored)
        return False

    def _is_held(self, stream: Stream, topic: str, size: int) -> bool:
        if self._pauses.is_paused(stream) or self._parking.is_parked(topic, size):
            return True
        if self._in_flight[stream] > 0 and self._goes_alone(stream, size):
            # Until then each read of the disk would only bring this sample again.
            self._behind.add(stream)
            return True
        return False

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

    def _held(self) -> list[Stream]:
        """Return the streams to read the disk without; called before each read."""
        self._went_back.clear()
        parked = self._parking.parked(lambda stream: self._topics.history(*stream))
        self._alone = {
            stream
            for stream in self._in_flight
            if stream in self._behind or self._goes_alone(stream)
        }
        return [*parked, *self._pauses.paused(), *self._alone]

    def _done(self, topic: str, stored: Stored, size: int, result: Acknowledgement) -> None:
        self._window.release()
        stream = (stored.peripheral, stored.stream)
        self._in_flight[stream] -= 1
        if not self._in_flight[stream]:
            del self._in_flight[stream]
            self._behind.discard(stream)
        if result.cancelled():
            self._outbox.backlog.release(stored.row)
            return
        if (error := result.exception()) is None:
            self._parking.accept(topic, size)
            self._pauses.end(stream)
            self._outbox.acknowledge_stored(stored)
        elif self._refusals.note_stored(stream, topic, size, error):
            self._leave_out(stored, topic)
        else:
            self._put_back(stored)
        if stream in self._alone or stream in self._went_back:
            self._outbox.backlog.wake()

    def _put_back(self, stored: Stored) -> None:
        """Put a stored sample back in its place; younger ones wait for it."""
        self._went_back.add((stored.peripheral, stored.stream))
        self._outbox.backlog.release(stored.row)

    def _leave_out(self, stored: Stored, topic: str) -> None:
        """Put a stored sample back that is too large; younger ones go first."""
        self._left_out.add(topic)
        self._outbox.backlog.leave_out(stored)
