"""Topics that the broker refuses: left alone for long intervals, so that others keep flowing."""

import time
from collections.abc import Callable

# A person has to grant missing rights, and should not have to wait much longer than this.
FIRST_S, _CEILING_S = 30.0, 900.0

Stream = tuple[str, str]
"""Peripheral and stream."""

OnChange = Callable[[Stream, str, str | None], None]
"""Called with a stream, its topic, and the broker's reason, or None if the topic works again."""


class Parking:
    """Which topics are parked, and until when; a stream's live and history topics separately."""

    def __init__(self, on_change: OnChange) -> None:
        """Start with none; ``on_change`` is called when a topic is parked and when it works again.

        It is called once for each, however often the broker refuses in between.
        """
        self._on_change = on_change
        self._until: dict[str, float] = {}
        self._interval_s: dict[str, float] = {}
        self._streams: dict[str, Stream] = {}

    def is_parked(self, topic: str) -> bool:
        """Return whether nothing should be sent to the topic now."""
        return self._until.get(topic, 0.0) > time.monotonic()

    def is_doubtful(self, topic: str) -> bool:
        """Return whether the broker has refused a message and accepted none sent after it."""
        return topic in self._interval_s

    def park(self, stream: Stream, topic: str, reason: str) -> None:
        """Park a topic after a refusal; each further one doubles the interval, up to a limit."""
        if self.is_parked(topic):
            return  # one of several messages that were in flight together
        known = self._interval_s.get(topic)
        if known is None:
            self._on_change(stream, topic, reason)
        interval_s = FIRST_S if known is None else min(known * 2, _CEILING_S)
        self._interval_s[topic] = interval_s
        self._streams[topic] = stream
        self._until[topic] = time.monotonic() + interval_s

    def accept(self, topic: str) -> None:
        """Note that the broker accepted a message at the topic."""
        if self.is_parked(topic):
            return  # it was in flight before the refusal
        if self._interval_s.pop(topic, None) is not None:
            self._until.pop(topic)
            self._on_change(self._streams.pop(topic), topic, None)

    def retry_all(self) -> None:
        """Try every topic again now: the missing rights may have been granted."""
        self._until = dict.fromkeys(self._until, 0.0)

    def parked(self, topic_of: Callable[[Stream], str]) -> list[Stream]:
        """Return the streams whose topic, as returned by ``topic_of``, is parked now."""
        return [s for t, s in self._streams.items() if topic_of(s) == t and self.is_parked(t)]
