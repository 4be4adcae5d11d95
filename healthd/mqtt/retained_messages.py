"""The retained messages of the gateway, which are published again on every connect."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, NoReturn

from healthd.errors import Backoff
from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.faults import ABOUT_THE_TOPIC, PublishRefused, hint
from healthd.mqtt.payloads import Payload
from healthd.mqtt.send_quota import RETAINED
from healthd.mqtt.unacked import Acknowledgement

# A cluster that has just lost a node refuses for seconds.
_RETRY = Backoff(first_s=1.0, ceiling_s=60.0)

# A person has to grant missing rights, and should not have to wait much longer than the ceiling.
_TOPIC_RETRY = Backoff(first_s=30.0, ceiling_s=900.0)


# Refusals that belong together arrive within this time: one line of the log names all topics.
_TOGETHER_S = 1.0


class _Refused(NamedTuple):
    """How often a message was refused since one was accepted, and why the last time."""

    times: int
    reason: str


class _Kept(NamedTuple):
    payload: bytes
    schema: str | None
    expiry_s: int | None


class RetainedMessages:
    """The retained messages by topic, and which of them are not sent yet."""

    def __init__(self) -> None:
        """Start with none."""
        self._kept: dict[str, _Kept] = {}
        self._unsent: dict[str, None] = {}
        self._on_accepted: dict[str, Callable[[], None]] = {}
        self._sending: dict[str, Acknowledgement] = {}
        self._refused: dict[str, _Refused] = {}
        self._uncleared: list[str] = []
        self._changed = asyncio.Event()
        self._log = get_logger(service="mqtt")

    def put(
        self, topic: str, payload: Payload | bytes, on_accepted: Callable[[], None] | None = None
    ) -> None:
        """Keep ``payload`` retained at ``topic``: send it now, and again on every connect.

        Args:
            topic: where to publish.
            payload: the message; empty: the broker removes what it keeps. An empty message is sent
                again until the broker has accepted it once.
            on_accepted: called once the broker has accepted the message, unless another one is put
                at the topic first.
        """
        if isinstance(payload, bytes):
            kept = _Kept(payload, None, None)
        else:
            kept = _Kept(payload.encoded(), payload.schema_name, payload.expires_s)
        if on_accepted is None:
            self._on_accepted.pop(topic, None)
        else:
            self._on_accepted[topic] = on_accepted
        if on_accepted is not None or self._kept.get(topic) != kept:
            self._kept[topic] = kept
            self.renew(topic)

    def renew(self, *topics: str) -> None:
        """Send the messages at these topics again."""
        self._unsent |= dict.fromkeys(topic for topic in topics if topic in self._kept)
        self._changed.set()

    def note_sent(self, topic: str, payload: bytes, schema: str) -> None:
        """Keep a sample that is being sent already, to send it again on every connect."""
        self._kept[topic] = _Kept(payload, schema, None)
        self._on_accepted.pop(topic, None)
        self._unsent.pop(topic, None)
        # An older one may still wait for its turn, and would replace the sample.
        if older := self._sending.pop(topic, None):
            older.cancel()

    def forget_sent(self) -> None:
        """Mark every message as not sent: the connection is new."""
        self._unsent = dict.fromkeys(self._kept)

    def send(self, client: AckedClient) -> Acknowledgement | None:
        """Send what is not sent yet; return the last acknowledgement, None if nothing was sent.

        Raises:
            ConnectionLost: the connection is gone already.
        """
        acknowledgement: Acknowledgement | None = None
        topics, self._unsent = self._unsent, {}
        for topic in topics:
            kept = self._kept[topic]
            payload, schema, expiry_s = kept
            acknowledgement = client.send(
                topic,
                payload,
                retain=True,
                schema=schema,
                expiry_s=expiry_s,
                priority=RETAINED,
            )
            self._sending[topic] = acknowledgement
            acknowledgement.add_done_callback(partial(self._done, topic, kept))
        return acknowledgement

    async def keep_sent(self, client: AckedClient) -> NoReturn:
        """Send every change as it happens. Ends only by raising, as ``send`` does."""
        while True:
            self._changed.clear()
            self.send(client)
            await self._changed.wait()

    def _done(self, topic: str, sent: _Kept, result: Acknowledgement) -> None:
        if self._sending.get(topic) is result:
            del self._sending[topic]
        if result.cancelled():
            return
        if error := result.exception():
            self._retry(topic, error)
            return
        self._refused.pop(topic, None)
        if self._kept.get(topic) is not sent:
            return
        if not sent.payload:
            del self._kept[topic]
            self._unsent.pop(topic, None)
        if on_accepted := self._on_accepted.pop(topic, None):
            on_accepted()

    def _retry(self, topic: str, error: BaseException) -> None:
        """Send the message again later; until then the log says that the broker misses it."""
        times, reason = self._refused.get(topic, _Refused(0, ""))
        self._refused[topic] = _Refused(times + 1, str(error))
        loop = asyncio.get_running_loop()
        if reason != str(error):
            if self._kept[topic].payload:
                more = hint(error)
                self._log.error("retained topic refused", topic=topic, error=str(error), **more)
            else:
                if not self._uncleared:
                    loop.call_later(_TOGETHER_S, self._log_uncleared, str(error))
                self._uncleared.append(topic)
        is_final = isinstance(error, PublishRefused) and error.code in ABOUT_THE_TOPIC
        backoff = _TOPIC_RETRY if is_final else _RETRY
        loop.call_later(backoff.limit(times), self.renew, topic)

    def _log_uncleared(self, error: str) -> None:
        topics, self._uncleared = sorted(self._uncleared), []
        command = "as a user who may write there, for each topic: mosquitto_pub -r -n -t TOPIC"
        self._log.error("retained topics not cleared", topics=topics, error=error, hint=command)
