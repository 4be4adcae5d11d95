"""Messages on their way from the socket to whoever reads them: bounded, whatever a broker sends."""

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

# Brokers hold back what is not acknowledged, but not all of it: nothing holds back QoS 0, and
# mosquitto 2.0.11 sends all that it has once one message of many is acknowledged.
_MOST_BYTES = 4_000_000

# What a message of a few bytes costs.
_OVERHEAD_BYTES = 500


@dataclass(frozen=True, slots=True)
class Message:
    """A received message.

    Attributes:
        topic: where it was published.
        payload: what, or as much of it as its reader wanted.
        retained: the broker had kept it; where it was asked for ``as_published``, also that it was
            published to be kept.
        response_topic: where its publisher wants the answer; MQTT 5, else None.
        correlation: what its publisher tells the answer by; MQTT 5, else None.
    """

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None = None
    correlation: bytes | None = None


class Arrival(NamedTuple):
    """A message, and what it is acknowledged with."""

    message: Message
    mid: int
    qos: int

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        one = self.message
        texts = (one.payload, one.topic, one.response_topic or "", one.correlation or b"")
        return _OVERHEAD_BYTES + sum(map(len, texts))


class Arrivals(asyncio.Queue[Arrival]):
    """A queue that is full when it holds so many bytes."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._bytes = 0

    def full(self) -> bool:
        """Whether no other message is taken."""
        return self._bytes >= _MOST_BYTES

    def _put(self, item: Arrival) -> None:
        super()._put(item)
        self._bytes += item.size

    def _get(self) -> Arrival:
        item = super()._get()
        self._bytes -= item.size
        return item
