"""A client that sends requests over MQTT 5, and matches responses to its requests."""

from collections import Counter
from itertools import count
from typing import Any

import orjson

from tests.support.subscriber import Received, Subscriber

RESPONSE_TOPIC = "healthd/gateway/response/tests"


class Requester:
    """Sends requests over the connection of a subscriber that receives everything."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._numbers = count(1)
        self._responses: list[Received] = []
        self._read = 0

    def send(self, verb: str, payload: object = b"", **more: Any) -> bytes:
        """Publish a request; return its correlation data."""
        correlation = b"%d" % next(self._numbers)
        how: dict[str, Any] = {"response_topic": RESPONSE_TOPIC, "correlation": correlation, **more}
        raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        self._subscriber.send(f"healthd/gateway/request/{verb}", raw, **how)
        return correlation

    async def request(self, verb: str, payload: object = b"", **more: Any) -> dict[str, Any]:
        """Send a request; return the response."""
        return await self.response_to(self.send(verb, payload, **more))

    async def response_to(self, correlation: bytes) -> dict[str, Any]:
        """Wait for the response with this correlation data."""
        response = await self._subscriber.until(
            lambda _: next(
                (one for one in self.responses() if one.correlation == correlation), None
            )
        )
        return response.json()

    async def response_counts(self, number: int, at_most: float = 30.0) -> Counter[bytes | None]:
        """Wait for ``number`` responses; return how many arrived for each request."""
        await self._subscriber.until(lambda _: len(self.responses()) >= number, at_most)
        return Counter(one.correlation for one in self.responses())

    def responses(self) -> list[Received]:
        """Return all responses, on any topic."""
        # Called after every message, of which there are thousands, so read each of them only once.
        messages = self._subscriber.messages
        self._responses += [one for one in messages[self._read :] if "/response/" in one.topic]
        self._read = len(messages)
        return self._responses
