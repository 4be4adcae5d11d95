"""Received messages between the socket and their reader, in a queue of bounded size."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from healthd.verbs import uptime_s

# Brokers hold back messages that are not acknowledged, but not all: QoS 0 is never held back, and
# mosquitto 2.0.11 sends its whole queue once one message of many is acknowledged.
_MOST_BYTES = 4_000_000

# The memory that a message of a few bytes takes.
_OVERHEAD_BYTES = 500


@dataclass(frozen=True, slots=True)
class Message:
    """A received message.

    Attributes:
        topic: where it was published.
        payload: its content, cut to the length that its reader asked for.
        retained: the broker had kept it; of a subscription ``as_published``, also True if it was
            published with the retain flag.
        response_topic: where its publisher wants the answer (MQTT 5), or None.
        correlation: data by which its publisher recognizes the answer (MQTT 5), or None.
        as_published: whether ``retained`` can be as its publisher set it: MQTT 3.1.1 passes the
            flag on only to a new subscription.
        sent_after_s: since when it can have waited for healthd, on the clock of ``uptime_s``; None
            if no one has asked for that.
        expires_s: when it expires (MQTT 5), on the same clock; None: never.
    """

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None = None
    correlation: bytes | None = None
    as_published: bool = field(default=True, compare=False)
    sent_after_s: float | None = field(default=None, compare=False)
    expires_s: float | None = field(default=None, compare=False)


class Arrival(NamedTuple):
    """A message with what is needed to acknowledge it."""

    message: Message
    mid: int
    qos: int

    @classmethod
    def of(
        cls, received: Any, longest_payload: int | None, sent_after_s: float | None = None
    ) -> Self:
        """Return a message of paho's, its payload cut to this many bytes; None: not cut."""
        properties = received.properties
        left_s: int | None = getattr(properties, "MessageExpiryInterval", None)
        message = Message(
            _topic_of(received),
            bytes(received.payload[:longest_payload]),
            received.retain,
            getattr(properties, "ResponseTopic", None),
            getattr(properties, "CorrelationData", None),
            properties is not None,
            sent_after_s,
            None if left_s is None else uptime_s() + left_s,
        )
        return cls(message, received.mid, received.qos)

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        message = self.message
        texts = message.payload, message.topic, message.response_topic, message.correlation
        return _OVERHEAD_BYTES + sum(len(text or "") for text in texts)


def _topic_of(received: Any) -> str:
    try:
        return received.topic
    except UnicodeDecodeError:
        # MQTT demands UTF-8, but not all brokers check it. A message that a broker keeps would end
        # every connection.
        return received._topic.decode("utf-8", "replace")


class Arrivals(asyncio.Queue[Arrival]):
    """A queue that is full when it holds ``_MOST_BYTES``."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._bytes = 0

    def full(self) -> bool:
        """Return whether the queue accepts no more messages."""
        return self._bytes >= _MOST_BYTES

    def _put(self, item: Arrival) -> None:
        super()._put(item)
        self._bytes += item.size

    def _get(self) -> Arrival:
        item = super()._get()
        self._bytes -= item.size
        return item
