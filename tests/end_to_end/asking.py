"""A client that asks a gateway over MQTT 5, and knows which response is whose."""

from collections import Counter
from itertools import count
from typing import Any

import orjson

from tests.support.subscriber import Received, Subscriber

ANSWERS = "healthd/gateway/response/tests"


class Asker:
    """Asks, by way of a subscriber that sees everything."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._numbers = count(1)
        self._responses: list[Received] = []
        self._read = 0

    def send(self, verb: str, payload: object = b"", **more: Any) -> bytes:
        """Publish a request; its correlation data."""
        correlation = b"%d" % next(self._numbers)
        how: dict[str, Any] = {"response_topic": ANSWERS, "correlation": correlation, **more}
        raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        self._subscriber.send(f"healthd/gateway/request/{verb}", raw, **how)
        return correlation

    async def ask(self, verb: str, payload: object = b"", **more: Any) -> dict[str, Any]:
        """The response to a request."""
        return await self.answered(self.send(verb, payload, **more))

    async def answered(self, correlation: bytes) -> dict[str, Any]:
        """The response that has this correlation data."""
        answer = await self._subscriber.until(
            lambda _: next(
                (one for one in self.responses() if one.correlation == correlation), None
            )
        )
        return answer.json()

    async def answers(self, number: int, at_most: float = 30.0) -> Counter[bytes | None]:
        """Wait for so many responses; how many there are to each request."""
        await self._subscriber.until(lambda _: len(self.responses()) >= number, at_most)
        return Counter(one.correlation for one in self.responses())

    def responses(self) -> list[Received]:
        """All of them, wherever they were published."""
        # Asked for after every message, of which there are thousands: read each of them once.
        messages = self._subscriber.messages
        self._responses += [one for one in messages[self._read :] if "/response/" in one.topic]
        self._read = len(messages)
        return self._responses
