"""What the broker keeps for later subscribers, and is told again on every connect."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, NoReturn

from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.payloads import Payload
from healthd.mqtt.unacked import Acknowledgement


class _Kept(NamedTuple):
    payload: bytes
    schema: str | None
    expiry_s: int | None


class Retained:
    """The retained topics, and which of them the broker has not been told yet."""

    def __init__(self) -> None:
        """Start with none."""
        self._payloads: dict[str, _Kept] = {}
        self._unsent: dict[str, None] = {}
        self._on_taken: dict[str, Callable[[], None]] = {}
        self._changed = asyncio.Event()
        self._log = get_logger(service="mqtt")

    def put(
        self, topic: str, payload: Payload | bytes, on_taken: Callable[[], None] | None = None
    ) -> None:
        """Keep ``topic`` at ``payload``: to be sent now, and again on every connect.

        Args:
            topic: where.
            payload: what; empty: the broker shall keep nothing, which it is told until it has
                taken that once.
            on_taken: called once when the broker has taken it, unless something else is put there
                first.
        """
        if isinstance(payload, bytes):
            kept = _Kept(payload, None, None)
        else:
            kept = _Kept(payload.encoded(), payload.schema_name, payload.expires_s)
        if on_taken is None:
            self._on_taken.pop(topic, None)
        else:
            self._on_taken[topic] = on_taken
        if on_taken is not None or self._payloads.get(topic) != kept:
            self._payloads[topic] = kept
            self.renew(topic)

    def renew(self, *topics: str) -> None:
        """Send again what stands there."""
        self._unsent |= dict.fromkeys(topic for topic in topics if topic in self._payloads)
        self._changed.set()

    def note_sent(self, topic: str, payload: bytes, schema: str) -> None:
        """A sample that is on its way to the broker already: again on every connect."""
        self._payloads[topic] = _Kept(payload, schema, None)
        self._on_taken.pop(topic, None)

    def forget_sent(self) -> None:
        """This broker knows nothing yet."""
        self._unsent = dict.fromkeys(self._payloads)

    def send(self, client: AckedClient) -> Acknowledgement | None:
        """Send what changed; the acknowledgement of the last message, if there was one.

        Raises:
            ConnectionLost: the connection is gone already.
        """
        acknowledgement: Acknowledgement | None = None
        topics, self._unsent = self._unsent, {}
        for topic in topics:
            kept = self._payloads[topic]
            payload, schema, expiry_s = kept
            acknowledgement = client.send(
                topic, payload, retain=True, schema=schema, expiry_s=expiry_s
            )
            acknowledgement.add_done_callback(partial(self._done, topic, kept))
        return acknowledgement

    async def keep_sent(self, client: AckedClient) -> NoReturn:
        """Send what changes, as it does. Ends only by raising, as ``send`` does."""
        while True:
            self._changed.clear()
            self.send(client)
            await self._changed.wait()

    def _done(self, topic: str, sent: _Kept, result: Acknowledgement) -> None:
        if result.cancelled():
            return
        if error := result.exception():
            # Sent again on every connect, so there is nothing to keep; but somebody should know.
            self._log.error("retained topic refused", topic=topic, error=str(error))
            return
        if self._payloads.get(topic) is not sent:
            return
        if not sent.payload:
            del self._payloads[topic]
            self._unsent.pop(topic, None)
        if on_taken := self._on_taken.pop(topic, None):
            on_taken()
