"""What other programs tell this gateway: subscribed to on every connection, and handed out."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import NamedTuple, NoReturn

from healthd.errors import Backoff
from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.arrivals import Message
from healthd.mqtt.faults import ConnectionLost, SubscribeRefused
from healthd.mqtt.packets import topic_matches

LONGEST_PAYLOAD = 16_384
"""No more bytes than these are kept of a message: nobody here expects a longer one."""

# A broker that cannot yet (a cluster that has just lost a node) can within seconds; a right that is
# missing is given by a person, who will not wait much longer than the ceiling.
_RETRY = Backoff(first_s=2.0, ceiling_s=300.0)

# Who floods a gateway does not get its log as well.
_TELL_DROPPED_S = 60.0


async def _at_once() -> None:
    """There is room for the next message."""


class _Listener(NamedTuple):
    on_message: Callable[[Message], None]
    room: Callable[[], Awaitable[object]]


class Inbox:
    """Everything that healthd listens to; where nobody listens nothing is subscribed to."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._listeners: dict[str, list[_Listener]] = {}
        self._changed = asyncio.Event()
        self._dropped_told = float("-inf")
        self._log = get_logger(service="inbox")

    def listen(
        self,
        topic_filter: str,
        on_message: Callable[[Message], None],
        room: Callable[[], Awaitable[object]] = _at_once,
    ) -> None:
        """Have messages handed over, from now on.

        Args:
            topic_filter: whose. No two of them may overlap: how often a message comes then is up
                to the broker.
            on_message: called with each. MQTT 5: ``retained`` is as its publisher set it.
            room: awaited after each, for who publishes because of it: the next one, whosever it
                is, waits meanwhile at the broker.
        """
        listener = _Listener(on_message, room)
        self._listeners.setdefault(topic_filter, []).append(listener)
        self._changed.set()

    def unsubscribe(self, topic_filter: str, on_message: Callable[[Message], None]) -> None:
        """Have nothing of this handed over any more."""
        left = [one for one in self._listeners[topic_filter] if one.on_message != on_message]
        if left:
            self._listeners[topic_filter] = left
        else:
            del self._listeners[topic_filter]
        self._changed.set()

    async def run(self, client: AckedClient) -> NoReturn:
        """Subscribe and hand out, for as long as the connection lasts; its owner cancels this.

        A subscription that is refused is asked for again, and does the connection no harm.
        """
        following: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hand_out(client))
            while True:
                self._changed.clear()
                for topic_filter in self._listeners.keys() - following.keys():
                    follow = self._follow(client, topic_filter)
                    following[topic_filter] = tasks.create_task(follow)
                for topic_filter in following.keys() - self._listeners.keys():
                    following.pop(topic_filter).cancel()
                    with suppress(ConnectionLost, SubscribeRefused):
                        await client.unsubscribe_from(topic_filter)
                await self._changed.wait()
        raise AssertionError("that loop never ends")

    async def _follow(self, client: AckedClient, topic_filter: str) -> None:
        for attempt in count():
            try:
                await client.subscribe_to(topic_filter, as_published=True)
            except ConnectionLost:
                return  # its owner knows
            except SubscribeRefused as error:
                tell = self._log.debug if attempt else self._log.warning
                tell("subscription refused", topic=topic_filter, error=str(error))
                await asyncio.sleep(_RETRY.limit(attempt))
            else:
                if attempt:
                    self._log.info("subscribed", topic=topic_filter)
                return

    async def _hand_out(self, client: AckedClient) -> None:
        with suppress(ConnectionLost):  # its owner knows
            async for message in client.received():
                self._tell_dropped(client)
                for listener in self._listeners_to(message.topic):
                    try:
                        listener.on_message(message)
                    except Exception as error:
                        # Whatever a message brings about, it is the end of that message alone.
                        self._log.exception("crashed", exc_info=error)
                    await listener.room()

    def _listeners_to(self, topic: str) -> list[_Listener]:
        return [
            listener
            for topic_filter, listeners in self._listeners.items()
            if topic_matches(topic, topic_filter)
            for listener in listeners
        ]

    def _tell_dropped(self, client: AckedClient) -> None:
        now = time.monotonic()
        if client.dropped and now - self._dropped_told >= _TELL_DROPPED_S:
            self._dropped_told = now
            self._log.warning("messages lost", number=client.dropped, hint="publish with QoS 1")
            client.dropped = 0
