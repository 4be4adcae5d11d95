"""Streams whose history waits because the broker could not take a message for the moment."""

import time

from healthd.mqtt.parking import Stream

# A cluster that loses a node refuses for seconds, a full queue for longer. Every stored sample that
# is sent in vain may reach some subscribers twice.
FIRST_S, _CEILING_S = 1.0, 30.0


class Pauses:
    """Which streams' stored samples are not sent now; live ones always are."""

    def __init__(self) -> None:
        """Start with none."""
        self._interval_s: dict[Stream, float] = {}
        self._until: dict[Stream, float] = {}

    def __bool__(self) -> bool:
        """Return whether there is any doubtful stream."""
        return bool(self._interval_s)

    def begin(self, stream: Stream) -> float:
        """Pause after a refused live sample; return for how many seconds."""
        return 0.0 if stream in self._interval_s else self.extend(stream)

    def extend(self, stream: Stream) -> float:
        """Pause after a refused stored sample, twice as long each time; return for how long."""
        if self.is_paused(stream):
            return 0.0  # one of several that were in flight together
        known = self._interval_s.get(stream)
        interval_s = FIRST_S if known is None else min(known * 2, _CEILING_S)
        self._interval_s[stream] = interval_s
        self._until[stream] = time.monotonic() + interval_s
        return interval_s

    def end(self, stream: Stream) -> None:
        """Note that the broker has taken a stored sample of the stream."""
        if self._interval_s and not self.is_paused(stream):
            self._interval_s.pop(stream, None)
            self._until.pop(stream, None)

    def end_all(self) -> None:
        """Send everything again now: the connection is new."""
        self._until.clear()

    def is_paused(self, stream: Stream) -> bool:
        """Return whether no stored sample of the stream should be sent now."""
        return self._until.get(stream, 0.0) > time.monotonic()

    def is_doubtful(self, stream: Stream) -> bool:
        """Return whether the broker has refused a sample and taken no stored one after it."""
        return stream in self._interval_s

    def paused(self) -> list[Stream]:
        """Return the streams that are paused now."""
        return [stream for stream in self._until if self.is_paused(stream)]
