"""Topics that the broker refuses: left alone for long intervals, so that the others flow."""

import time
from collections.abc import Callable

# A right that is missing is given by a person, who will not wait much longer than this.
FIRST_S, _CEILING_S = 30.0, 900.0

Stream = tuple[str, str]
"""Peripheral and stream."""

OnChange = Callable[[Stream, str, str | None], None]
"""Told of a stream, its topic, and the broker's reason, or None when the topic is taken again."""


class Parking:
    """Which streams' topics are parked, and until when; live and history ones apart."""

    def __init__(self, on_change: OnChange) -> None:
        """``on_change`` is told once when a topic is parked, and once when it is taken again."""
        self._on_change = on_change
        self._until: dict[str, float] = {}
        self._interval_s: dict[str, float] = {}
        self._streams: dict[str, Stream] = {}

    def is_parked(self, topic: str) -> bool:
        """True while the topic is to be left alone."""
        return self._until.get(topic, 0.0) > time.monotonic()

    def is_doubtful(self, topic: str) -> bool:
        """True from a refusal until the broker takes a message that was sent after it."""
        return topic in self._interval_s

    def park(self, stream: Stream, topic: str, reason: str) -> None:
        """The broker refused a message: leave the topic alone, longer after each try."""
        if self.is_parked(topic):
            return  # one of several that were on their way together
        known = self._interval_s.get(topic)
        if known is None:
            self._on_change(stream, topic, reason)
        interval_s = FIRST_S if known is None else min(known * 2, _CEILING_S)
        self._interval_s[topic] = interval_s
        self._streams[topic] = stream
        self._until[topic] = time.monotonic() + interval_s

    def accept(self, topic: str) -> None:
        """The broker took a message."""
        if self.is_parked(topic):
            return  # on its way already when another one was refused: the broker may be choosy
        if self._interval_s.pop(topic, None) is not None:
            self._until.pop(topic)
            self._on_change(self._streams.pop(topic), topic, None)

    def look_again(self) -> None:
        """Somebody may have given what was missing: try every topic now."""
        self._until = dict.fromkeys(self._until, 0.0)

    def parked(self, topic_of: Callable[[Stream], str]) -> list[Stream]:
        """The streams whose topic, as ``topic_of`` names it, is parked now."""
        return [s for t, s in self._streams.items() if topic_of(s) == t and self.is_parked(t)]
