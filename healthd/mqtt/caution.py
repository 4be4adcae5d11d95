"""How to subscribe if that ended the last connections: samples matter more than messages."""

import time

from healthd.errors import Backoff
from healthd.log import get_logger
from healthd.mqtt.faults import ConnectionLost

# On RabbitMQ 3.10 a subscription with QoS 1 is a durable queue, on the node that the client was
# connected to. While that node is down, every other node answers SUBSCRIBE by closing the
# connection. A subscription with QoS 0 has a queue of its own, which is dropped with its node.
_USUAL_QOS, _CAUTIOUS_QOS = 1, 0

# Each try may cost a connection, and with it a second or two of live samples. A cluster that has
# lost a node is well again within minutes, and a person who needs requests waits for them.
_HELD_BACK = Backoff(first_s=10.0, ceiling_s=300.0)

# Unspecified error, malformed packet, protocol error, implementation specific error, not
# authorized, topic filter invalid, no shared subscriptions, no subscription identifiers, no
# wildcards. Any other code (packet too large, quota exceeded, server shutting down) speaks of
# something else, and not to subscribe would not help.
_PERHAPS_ABOUT_IT = frozenset({0x80, 0x81, 0x82, 0x83, 0x87, 0x8F, 0x9E, 0xA1, 0xA2})

# After this long a new connection subscribes as usual again.
_DOUBT_S = 300.0


class Caution:
    """Counts the connections that ended because of a SUBSCRIBE that the broker had not answered.

    It counts those of all brokers together: if a node of a cluster is down, each of the others
    ends the connection.

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
        """Note that a new connection begins."""
        self._unanswered.clear()
        if time.monotonic() - self._ended_at > _DOUBT_S:
            self._ended = 0
        self.qos = _CAUTIOUS_QOS if self._ended else _USUAL_QOS
        self.wait_s = _HELD_BACK.limit(self._ended - 2) if self._ended > 1 else 0.0

    def ended(self, fault: ConnectionLost) -> None:
        """Note why the connection ended."""
        # A broker that has stalled acknowledges no samples either.
        without_reason = fault.code is None and fault.reason != "broker_stalled"
        if self._unanswered and (without_reason or fault.code in _PERHAPS_ABOUT_IT):
            self._ended, self._ended_at = self._ended + 1, time.monotonic()
            self._warn(", ".join(sorted(self._unanswered)), fault)

    def asked(self, topic_filter: str) -> None:
        """Note that a SUBSCRIBE is sent."""
        self._unanswered.add(topic_filter)

    def answered(self, topic_filter: str) -> None:
        """Note that the connection has survived a SUBSCRIBE, or that it is no longer wanted."""
        self._unanswered.discard(topic_filter)
        if not self._unanswered:
            self._ended = min(self._ended, 1)

    def _warn(self, topics: str, fault: ConnectionLost) -> None:
        # Once for each step: a broker that never accepts a subscription would fill the log.
        if self._ended == 1:
            cause = "a node of the cluster may be down" if fault.code is None else fault.problem
            self._log.warning(
                "connection ended by a subscription",
                topic=topics,
                hint=f"healthd subscribes with QoS 0 for now: {cause}",
            )
        elif self._ended == 2:
            self._log.warning(
                "subscriptions held back",
                topic=topics,
                hint="this broker ends the connection when healthd subscribes; samples are "
                "published, requests do not arrive until it accepts a subscription",
            )
