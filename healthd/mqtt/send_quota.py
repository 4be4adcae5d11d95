"""Publishes that wait because the broker accepts no more of them before it acknowledges others.

MQTT 5 section 4.9: a client has a quota of publishes that may be unacknowledged. A publish takes
one from it, and each PUBACK, also one that refuses, gives one back.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from healthd.mqtt.unacked import Answer

WINDOW = 20
"""Unacknowledged publishes at a time, however many a broker accepts: with a round trip of 1 ms
they are more than 10,000 a second, and brokers hold back no more than about as many themselves."""

LIVE, RETAINED, HISTORY = range(3)
"""The order in which waiting publishes are written."""

# Of this many publishes one is the oldest of the classes that come later, so that a gateway with
# more live samples than its broker accepts still says that it is online.
_TURNS = 8


class Waiting(NamedTuple):
    """A publish that is not written yet."""

    topic: str
    payload: bytes
    retain: bool
    properties: Any
    answer: Answer
    can_wait: bool = False


class SendQuota:
    """How many publishes may still be written, and those that wait for it.

    Attributes:
        free: how many may be written now; zero as long as any wait.
        size: how many may be unacknowledged at a time.
    """

    def __init__(self) -> None:
        """Start with the quota of a broker that names none."""
        self.free = self.size = WINDOW
        self._classes: tuple[deque[Waiting], ...] = (deque(), deque(), deque())
        self._count = 0
        # Given back, and reserved for publishes that wait.
        self._returned = 0
        self._turn = 0

    def __bool__(self) -> bool:
        """Return whether any publishes wait."""
        return self._count > 0

    def limit(self, receive_maximum: int) -> None:
        """Set how many publishes the broker accepts; call it before the first one."""
        self.free = self.size = min(WINDOW, receive_maximum)

    def add(self, priority: int, waiting: Waiting) -> None:
        """Add a publish that has to wait."""
        self._classes[priority].append(waiting)
        self._count += 1

    def give_back(self) -> bool:
        """Count an acknowledged publish; return whether to call ``write_waiting`` soon."""
        if not self._count:
            self.free += 1
            return False
        self._returned += 1
        return self._returned == 1

    def write_waiting(self, write: Callable[[Waiting], object]) -> None:
        """Write as many waiting publishes as the quota allows.

        Args:
            write: writes one, and takes it from ``free``.
        """
        self.free, self._returned = self._returned, 0
        while self.free and self._count:
            waiting = self._next()
            # Its owner may have replaced it by a newer message.
            if not waiting.answer.done():
                write(waiting)

    def _next(self) -> Waiting:
        self._count -= 1
        self._turn = (self._turn + 1) % _TURNS
        in_order = self._classes if self._turn else (*self._classes[1:], self._classes[0])
        return next(each for each in in_order if each).popleft()

    def cancel(self) -> None:
        """Cancel everything that waits: the connection is gone."""
        for each in self._classes:
            for waiting in each:
                waiting.answer.cancel()
            each.clear()
        self._count = 0
