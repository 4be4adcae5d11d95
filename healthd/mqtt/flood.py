"""Notices when messages arrive faster than a gateway should read them."""

import time
from collections.abc import Callable

# In this time ...
_WINDOW_S = 2.0

# ... this many messages. Each takes the event loop 0.1 to 0.5 ms, depending on the computer.
_MOST = 4000

# The broker holds back messages with QoS 1 that are not acknowledged; those with QoS 0 never.
_WEIGHT_OF_QOS_0 = 4


class Flood:
    """Counts the messages of one connection.

    Attributes:
        topic: of the newest message in a window with too many, until it is taken; empty for none.
        on_topic: called when there is a topic to take.
    """

    def __init__(self) -> None:
        """Start without any."""
        self.topic = ""
        self.on_topic: Callable[[], None] = _nothing
        self._began_at = 0.0
        self._count = 0

    def note(self, topic: str, qos: int) -> None:
        """Note a message."""
        self._count += 1 if qos else _WEIGHT_OF_QOS_0
        if self._count < _MOST:
            return
        now = time.monotonic()
        if now - self._began_at < _WINDOW_S:
            self.topic = topic
            self.on_topic()
        self._began_at, self._count = now, 0

    def take(self) -> str:
        """Return the topic, and wait for the next flood."""
        topic, self.topic = self.topic, ""
        return topic


def _nothing() -> None:
    """No one takes it."""
