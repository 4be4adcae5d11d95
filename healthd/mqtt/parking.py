"""Topics that the broker refuses: left alone for long intervals, so that others keep flowing."""

import time
from collections.abc import Callable
from dataclasses import dataclass

# A person has to grant missing rights, and should not have to wait much longer than this.
FIRST_S, _CEILING_S = 30.0, 900.0

Stream = tuple[str, str]
"""Peripheral and stream."""

OnChange = Callable[[Stream, str, str | None], None]
"""Called with a stream, its topic, and the broker's reason, or None if the topic works again."""


@dataclass(slots=True)
class _Parked:
    """A topic that the broker has refused.

    Attributes:
        stream: whose topic it is.
        until: when it is tried again, monotonic time.
        interval_s: how long it is parked.
        from_size: payloads of at least this many bytes are refused.
    """

    stream: Stream
    until: float
    interval_s: float
    from_size: int


class Parking:
    """Which topics are parked, and until when; a stream's live and history topics separately."""

    def __init__(self, on_change: OnChange) -> None:
        """Start with none; ``on_change`` is called when a topic is parked and when it works again.

        It is called once for each, however often the broker refuses in between.
        """
        self._on_change = on_change
        self._topics: dict[str, _Parked] = {}

    def __bool__(self) -> bool:
        """Return whether there is any doubtful topic."""
        return bool(self._topics)

    def is_parked(self, topic: str, size: int = 0) -> bool:
        """Return whether nothing should be sent to the topic now.

        Args:
            topic: where to send.
            size: of the payload, in bytes; 0: whether the smallest one is refused, too.
        """
        known = self._topics.get(topic)
        return known is not None and size >= known.from_size and known.until > time.monotonic()

    def is_doubtful(self, topic: str, size: int = 0) -> bool:
        """Return whether the broker has refused a message and accepted none sent after it."""
        known = self._topics.get(topic)
        return known is not None and size >= known.from_size

    def park(self, stream: Stream, topic: str, reason: str, from_size: int = 0) -> None:
        """Park a topic after a refusal; each further one doubles the interval, up to a limit.

        Args:
            stream: whose topic it is.
            topic: the topic.
            reason: the broker's words.
            from_size: park only payloads of at least this many bytes: the refusal was about the
                size of one message.
        """
        now = time.monotonic()
        known = self._topics.get(topic)
        if known is None:
            self._topics[topic] = _Parked(stream, now + FIRST_S, FIRST_S, from_size)
            self._on_change(stream, topic, reason)
        elif known.until > now:
            # One of several messages that were in flight together.
            known.from_size = min(known.from_size, from_size)
        else:
            known.interval_s = min(known.interval_s * 2, _CEILING_S)
            known.until, known.from_size = now + known.interval_s, from_size

    def is_refused_for_long(self, topic: str) -> bool:
        """Return whether the topic was parked twice already, and is still doubtful."""
        known = self._topics.get(topic)
        return known is not None and known.interval_s > FIRST_S

    def accept(self, topic: str, size: int = 0) -> None:
        """Note that the broker accepted a payload of this size at the topic."""
        known = self._topics.get(topic)
        if known is None or size < known.from_size:
            return
        if known.until > time.monotonic():
            return  # it was in flight before the refusal
        del self._topics[topic]
        self._on_change(known.stream, topic, None)

    def retry_all(self) -> None:
        """Try every topic again now: the missing rights may have been granted."""
        for known in self._topics.values():
            known.until = 0.0

    def retry_large(self) -> None:
        """Try large messages again now: another broker may accept them."""
        for known in self._topics.values():
            if known.from_size:
                known.until = 0.0

    def parked(self, topic_of: Callable[[Stream], str]) -> list[Stream]:
        """Return the streams whose topic, as returned by ``topic_of``, is parked now."""
        return [
            known.stream
            for topic, known in self._topics.items()
            if topic_of(known.stream) == topic and self.is_parked(topic)
        ]
