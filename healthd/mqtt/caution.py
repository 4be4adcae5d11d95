"""How to subscribe if that ended the last connections: samples matter more than messages."""

import time

from healthd.errors import Backoff
from healthd.log import get_logger

# On RabbitMQ 3.10 a subscription with QoS 1 is a durable queue, on the node that the client was
# connected to. While that node is down, every other node answers SUBSCRIBE by closing the
# connection. A subscription with QoS 0 has a queue of its own, which is dropped with its node.
_USUAL_QOS, _CAUTIOUS_QOS = 1, 0

# Each try may cost a connection, and with it a second or two of live samples. A cluster that has
# lost a node is well again within minutes, and a person who needs requests waits for them.
_HELD_BACK = Backoff(first_s=10.0, ceiling_s=300.0)

# After this long a new connection subscribes as usual again.
_DOUBT_S = 300.0


class Caution:
    """Counts the connections that ended before the broker had answered a SUBSCRIBE.

    Attributes:
        wait_s: how long this connection carries only samples before it subscribes.
        qos: the quality of service to subscribe with.
    """

    def __init__(self) -> None:
        """Start without any doubt."""
        self.wait_s = 0.0
        self.qos = _USUAL_QOS
        self._unanswered: set[str] = set()
        self._ended = 0
        self._ended_at = float("-inf")
        self._log = get_logger(service="inbox")

    def begin(self) -> None:
        """Note that a new connection begins, and with it how the last one ended."""
        now = time.monotonic()
        if self._unanswered:
            self._ended, self._ended_at = self._ended + 1, now
            self._warn(", ".join(sorted(self._unanswered)))
            self._unanswered.clear()
        elif now - self._ended_at > _DOUBT_S:
            self._ended = 0
        self.qos = _CAUTIOUS_QOS if self._ended else _USUAL_QOS
        self.wait_s = _HELD_BACK.limit(self._ended - 2) if self._ended > 1 else 0.0

    def asked(self, topic_filter: str) -> None:
        """Note that a SUBSCRIBE is sent."""
        self._unanswered.add(topic_filter)

    def answered(self, topic_filter: str) -> None:
        """Note that the connection has survived a SUBSCRIBE, or that it is no longer wanted."""
        self._unanswered.discard(topic_filter)
        if not self._unanswered:
            self._ended = min(self._ended, 1)

    def _warn(self, topics: str) -> None:
        # Once for each step: a broker that never accepts a subscription would fill the log.
        if self._ended == 1:
            self._log.warning(
                "connection ended by a subscription",
                topic=topics,
                hint="healthd subscribes with QoS 0 for now: a node of the cluster may be down",
            )
        elif self._ended == 2:
            self._log.warning(
                "subscriptions held back",
                topic=topics,
                hint="this broker ends the connection when healthd subscribes; samples are "
                "published, requests do not arrive until it accepts a subscription",
            )
