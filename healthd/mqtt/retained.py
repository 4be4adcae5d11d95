"""What the broker keeps for later subscribers, and is told again on every connect."""

import asyncio
from functools import partial
from typing import NoReturn

from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient, Acknowledgement


class Retained:
    """The retained topics, and which of them the broker has not been told yet."""

    def __init__(self) -> None:
        """Start with none."""
        self._payloads: dict[str, bytes] = {}
        self._unsent: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._log = get_logger(service="mqtt")

    def put(self, topic: str, payload: bytes) -> None:
        """Keep ``topic`` at ``payload``: to be sent now, and again on every connect."""
        if self._payloads.get(topic) != payload:
            self.note_sent(topic, payload)
            self._unsent[topic] = None
            self._changed.set()

    def note_sent(self, topic: str, payload: bytes) -> None:
        """The same, where it is on its way to the broker already: again on every connect."""
        self._payloads[topic] = payload

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
            acknowledgement = client.send(topic, self._payloads[topic], retain=True)
            acknowledgement.add_done_callback(partial(self._done, topic))
        return acknowledgement

    async def keep_sent(self, client: AckedClient) -> NoReturn:
        """Send what changes, as it does. Ends only by raising, as ``send`` does."""
        while True:
            self._changed.clear()
            self.send(client)
            await self._changed.wait()

    def _done(self, topic: str, result: Acknowledgement) -> None:
        # Sent again on every connect, so there is nothing to keep; but somebody should know.
        if not result.cancelled() and (error := result.exception()):
            self._log.error("retained topic refused", topic=topic, error=str(error))
