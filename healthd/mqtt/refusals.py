"""What a refused sample means: its topic is parked, or its stream's history pauses."""

import asyncio
import time
from collections.abc import Callable

from healthd.log import get_logger
from healthd.mqtt.faults import ABOUT_THE_TOPIC, TOO_LARGE, PublishRefused
from healthd.mqtt.parking import Parking, Stream
from healthd.mqtt.pauses import Pauses
from healthd.mqtt.topics import Place, Topics, place_of
from healthd.outbox.outbox import Outbox

# A subscriber with a full queue makes the broker refuse for hours: one line in the log says so.
_SAME_TROUBLE_S = 300.0


class Refusals:
    """What the broker has refused. It is kept when the connection ends.

    Attributes:
        parking: the topics to which nothing, or nothing large, is sent for a while.
        pauses: the streams whose stored samples wait for a while.
    """

    def __init__(self, outbox: Outbox, topics: Topics) -> None:
        """Start with none.

        Args:
            outbox: reports parked topics; its backlog is woken when a pause ends.
            topics: of the gateway.
        """
        self.parking = Parking(outbox.note_parked)
        self.pauses = Pauses()
        self._outbox = outbox
        self._topics = topics
        # The topic of the message at which the last connection ended.
        self._suspect = ""
        # When the broker last could not take a sample of a stream.
        self._refused_at: dict[Stream, float] = {}
        self._log = get_logger(service="mqtt")

    def begin_connection(self) -> None:
        """Try again what another connection, or another broker, may accept."""
        self.pauses.end_all()
        self.parking.retry_large()

    def suspect(self, topic: str, reason: str) -> None:
        """Park a topic of samples at which connections end.

        Some brokers, such as AWS IoT Core, disconnect a client instead of refusing a message. The
        first time may be chance, as the broker's reason names no topic.
        """
        place = place_of(topic, self._topics.prefix)
        if place is None or not self._is_of_samples(topic, place):
            return
        if topic == self._suspect or self.parking.is_doubtful(topic):
            self.parking.park((place.peripheral, place.stream), topic, reason)
        self._suspect = topic

    def _is_of_samples(self, topic: str, place: Place) -> bool:
        stream = (place.peripheral, place.stream)
        retained = (self._topics.device_status(stream[0]), self._topics.device_info(stream[0]))
        has_samples = bool(stream[0]) or stream[1].startswith("event/")
        of_stream = (self._topics.sample(*stream), self._topics.history(*stream))
        return has_samples and topic in of_stream and topic not in retained

    def note_live(self, stream: Stream, topic: str, size: int, error: BaseException) -> None:
        """Note that the broker has refused a live sample.

        Args:
            stream: of the sample.
            topic: where it was sent.
            size: of its payload, in bytes.
            error: the broker's answer.
        """
        if not self._park(stream, topic, size, error):
            self._pause(stream, topic, error, self.pauses.begin)

    def note_stored(self, stream: Stream, topic: str, size: int, error: BaseException) -> bool:
        """Note that the broker has refused a stored sample; see ``note_live``.

        Returns:
            Whether younger samples go first: it is too large, and may be so for long.
        """
        if self._park(stream, topic, size, error):
            return not self.parking.is_parked(topic)
        self._pause(stream, topic, error, self.pauses.extend)
        return False

    def _park(self, stream: Stream, topic: str, size: int, error: BaseException) -> bool:
        """Park the topic if the refusal is about it; return whether it is."""
        if not isinstance(error, PublishRefused) or error.code not in ABOUT_THE_TOPIC:
            return False
        # Live samples that are small enough go on. Stored ones wait behind a large one, so that
        # their order is kept, unless the limit is known or seems to stay.
        waits = topic == self._topics.history(*stream) and bool(stream[0])
        waits = waits and error.was_sent and not self.parking.is_refused_for_long(topic)
        by_size = error.code == TOO_LARGE and not waits
        self.parking.park(stream, topic, str(error), size if by_size else 0)
        return True

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
