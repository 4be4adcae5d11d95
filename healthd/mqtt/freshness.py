"""How old a received message can be at most, although no message says when it was published.

After a stall of healthd, of the network or of the broker, messages arrive that have waited for
long. A broker answers a PINGREQ at once and in order: when the answer is here, everything is here
that the broker had sent before. So what arrives now was sent after the last PINGREQ that was
answered, unless the broker holds messages back because too many are not acknowledged yet.
"""

import math
from collections.abc import Callable

from healthd.verbs import uptime_s

PING_S = 1.0
"""Between two PINGREQs."""

FIRST_PING_S = 0.3
"""Between SUBSCRIBE and the first one: a broker that was stalled reads what has waited in its
sockets within milliseconds."""

# No broker holds messages back before this many are unacknowledged; some do at ten.
_HELD_BACK = 8


class Freshness:
    """What the answers to PINGREQs say about the messages of one connection.

    Attributes:
        sent_after_s: the broker has sent everything since this time, on the clock of ``uptime_s``;
            minus infinity if that is not known.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        """Start without knowing anything; ``waiting`` counts the messages that are not read yet."""
        self.sent_after_s = -math.inf
        self._waiting = waiting
        self._asked_s: float | None = None
        self._unread = 0

    def asked(self) -> None:
        """Note that a PINGREQ is sent now."""
        self._asked_s, self._unread = uptime_s(), self._waiting()

    def arrived(self) -> None:
        """Note that a message has arrived."""
        self._unread += 1

    def answered(self) -> None:
        """Note that the answer has arrived."""
        if self._asked_s is not None and self._unread < _HELD_BACK:
            self.sent_after_s = self._asked_s
        self._asked_s = None
