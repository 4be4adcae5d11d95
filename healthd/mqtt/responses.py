"""Publishes responses: once, never retained, and not more at a time than live samples allow."""

import asyncio
import time
from collections.abc import Callable

from healthd.log import get_logger
from healthd.mqtt.faults import TOO_LARGE, PublishRefused, hint
from healthd.mqtt.payloads import Response
from healthd.mqtt.replies import Reply
from healthd.mqtt.unacked import Acknowledgement

PublishResponse = Callable[[str, bytes, str, bytes | None], Acknowledgement | None]
"""Publishes a response: topic, payload, schema, correlation data; None: there is no connection."""

# Unacknowledged responses before the next request is accepted: a fraction of the window of live
# samples, so that a flood of requests leaves room for them.
_WINDOW = 5

_SCHEMA = f"{Response.kind}/{Response.schema_version}"

# Some brokers end the connection instead of refusing a message that is too large. The first time
# may be chance.
_CHANCE = 1

# Responses that wait for the broker. Requests to stop are carried out without waiting for it.
_MOST_WAITING = 100

# A flood of requests must not flood the log as well.
_LOG_DROPPED_S = 60.0

# Bytes of a response that no broker finds too large.
_SMALL = 512


class Responses:
    """The responses over one kind of connection.

    Attributes:
        waiting: how many the broker has not acknowledged yet.
    """

    def __init__(self, publish: PublishResponse) -> None:
        """Publish with ``publish``."""
        self.waiting = 0
        self._publish = publish
        self._room = asyncio.Event()
        self._room.set()
        self._refused_topic = ""
        self._ended_with = 0
        self._dropped = 0
        self._dropped_logged = float("-inf")
        self._log = get_logger(service="requests")

    async def room(self) -> None:
        """Wait until the next request should be read."""
        await self._room.wait()

    def send(self, reply: Reply, payload: bytes) -> None:
        """Publish a response."""
        if self._ended_with > _CHANCE and len(payload) > _SMALL:
            payload = reply.error("the response may be too large for the broker")
            self._ended_with = _CHANCE
        if self.waiting >= _MOST_WAITING:
            self.count_dropped()
            return
        acknowledgement = self._publish(reply.topic, payload, _SCHEMA, reply.correlation)
        if acknowledgement is None:
            self._log.info("response dropped", reason="no connection")
            return
        self.waiting += 1
        if self.waiting >= _WINDOW:
            self._room.clear()
        acknowledgement.add_done_callback(lambda result: self._sent(reply, payload, result))

    def count_dropped(self) -> None:
        """Count a request without a response: there are too many of them; log that now and then."""
        self._dropped += 1
        now = time.monotonic()
        if now - self._dropped_logged >= _LOG_DROPPED_S:
            self._dropped_logged = now
            self._log.warning("responses dropped", number=self._dropped, reason="too many requests")
            self._dropped = 0

    def _sent(self, reply: Reply, payload: bytes, result: Acknowledgement) -> None:
        self.waiting -= 1
        if self.waiting < _WINDOW:
            self._room.set()
        if result.cancelled():
            self._ended_with += len(payload) > _SMALL
            self._log.info("response dropped", reason="connection lost")
        elif error := result.exception():
            self._refused(reply, payload, error)
        elif len(payload) > _SMALL:
            self._ended_with = 0

    def _refused(self, reply: Reply, payload: bytes, error: BaseException) -> None:
        where = reply.topic
        if where != self._refused_topic:
            # Logged once: the client will use the same topic again.
            self._refused_topic = where
            log = self._log.warning
            log("response refused by the broker", topic=where, error=str(error), **hint(error))
        is_too_large = isinstance(error, PublishRefused) and error.code == TOO_LARGE
        if is_too_large and len(short := reply.error(str(error))) < len(payload):
            self.send(reply, short)
