"""Messages from other programs: subscribed to on every connection, passed on to listeners."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import NamedTuple, NoReturn

from healthd.errors import Backoff
from healthd.log import get_logger
from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.arrivals import Message
from healthd.mqtt.caution import Caution
from healthd.mqtt.faults import ConnectionLost, SubscribeRefused
from healthd.mqtt.freshness import FIRST_PING_S, PING_S
from healthd.mqtt.packets import topic_matches

LONGEST_PAYLOAD = 16_384
"""Payloads are cut to this many bytes: no listener expects longer ones."""

# A broker that cannot subscribe yet (a cluster that has just lost a node) can within seconds. A
# person has to grant missing rights, and should not have to wait much longer than the ceiling.
_RETRY = Backoff(first_s=2.0, ceiling_s=300.0)

# Doubled each time. A person has to find and stop the program that floods the gateway.
_PAUSE = Backoff(first_s=10.0, ceiling_s=300.0)

# A flood that comes back before this is the same one.
_FLOOD_OVER_S = 60.0

# A client that floods the gateway must not flood its log as well.
_LOG_DROPPED_S = 60.0


async def _at_once() -> None:
    """There is room for the next message."""


def _no_topics() -> Iterable[str]:
    return ()


def _never() -> bool:
    return False


def _ignore(message: Message) -> None:
    """No one waits for an answer."""


class _Listener(NamedTuple):
    on_message: Callable[[Message], None]
    room: Callable[[], Awaitable[object]]
    one_by_one: Callable[[], Iterable[str]]
    timed: Callable[[], bool]
    on_flood: Callable[[Message], None]
    urgent: Callable[[], Iterable[str]]


class Inbox:
    """The subscriptions of a gateway; without a listener there is no subscription."""

    def __init__(self) -> None:
        """Start without listeners."""
        self._listeners: dict[str, list[_Listener]] = {}
        self._changed = asyncio.Event()
        # Set when ``_watch`` may have something to do.
        self._stirred = asyncio.Event()
        self._caution = Caution()
        self._paused: dict[str, float] = {}
        self._pause_s: float | None = None
        self._pause_said = False
        self._pause_ended = float("-inf")
        self._dropped_logged = float("-inf")
        self._log = get_logger(service="inbox")

    def subscribe(
        self,
        topic_filter: str,
        on_message: Callable[[Message], None],
        room: Callable[[], Awaitable[object]] = _at_once,
        one_by_one: Callable[[], Iterable[str]] = _no_topics,
        timed: Callable[[], bool] = _never,
        on_flood: Callable[[Message], None] = _ignore,
        urgent: Callable[[], Iterable[str]] = _no_topics,
    ) -> None:
        """Call ``on_message`` for each message at these topics from now on.

        Args:
            topic_filter: the topics. Filters must not overlap: brokers differ in how often they
                then deliver a message.
            on_message: called with each message. With MQTT 5, ``retained`` is as its publisher set
                it.
            room: awaited after each message, for listeners that publish an answer: until it
                returns, all further messages wait at the broker.
            one_by_one: the topics to subscribe to in place of a filter with wildcards, if the
                broker does not support them (MQTT 5). Call ``renew`` after they have changed.
            timed: whether messages have to say since when they can have waited.
            on_flood: called with the first message that is dropped because there are too many.
            urgent: the topics to subscribe to in place of a filter while there are too many.
        """
        listener = _Listener(on_message, room, one_by_one, timed, on_flood, urgent)
        self._listeners.setdefault(topic_filter, []).append(listener)
        self._changed.set()
        self._stirred.set()

    def unsubscribe(self, topic_filter: str, on_message: Callable[[Message], None]) -> None:
        """Stop calling ``on_message`` for these topics."""
        listeners = self._listeners[topic_filter]
        left = [listener for listener in listeners if listener.on_message != on_message]
        if left:
            self._listeners[topic_filter] = left
        else:
            del self._listeners[topic_filter]
        self._changed.set()
        self._stirred.set()

    def renew(self) -> None:
        """Ask again which topics to subscribe to one by one."""
        self._changed.set()
        self._stirred.set()

    def ended(self, fault: ConnectionLost) -> None:
        """Note why the connection ended: perhaps because of a subscription."""
        self._caution.ended(fault)

    async def run(self, client: AckedClient) -> NoReturn:
        """Subscribe and pass on messages until this is cancelled, when the connection ends.

        A refused subscription is tried again; the connection stays up. How healthd subscribes
        after connections that ended because of that: see ``Caution``.
        """
        self._caution.begin()
        subscribing: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass_on(client), name="mqtt received messages")
            tasks.create_task(self._watch(client), name="mqtt watch")
            while True:
                self._changed.clear()
                wanted = self._wanted(client)
                for topic_filter in wanted - subscribing.keys():
                    subscribing[topic_filter] = tasks.create_task(
                        self._subscribe(client, topic_filter), name=f"mqtt subscribe {topic_filter}"
                    )
                for topic_filter in subscribing.keys() - wanted:
                    subscribing.pop(topic_filter).cancel()
                    self._caution.answered(topic_filter)
                    with suppress(ConnectionLost, SubscribeRefused):
                        await client.unsubscribe_from(topic_filter)
                await self._changed.wait()
        raise AssertionError("that loop never ends")

    def _wanted(self, client: AckedClient) -> set[str]:
        """Return what to subscribe to at this broker."""
        wanted: set[str] = set()
        for topic_filter, listeners in self._listeners.items():
            topics: set[str] = set()
            if topic_filter in self._paused:
                wanted.update(*(listener.urgent() for listener in listeners))
                continue
            if not client.limits.wildcards and not {"+", "#"}.isdisjoint(topic_filter):
                topics.update(*(listener.one_by_one() for listener in listeners))
            wanted |= topics or {topic_filter}
        return wanted

    async def _subscribe(self, client: AckedClient, topic_filter: str) -> None:
        await asyncio.sleep(self._caution.wait_s)
        for attempt in count():
            qos = self._caution.qos
            self._caution.asked(topic_filter)
            try:
                await client.subscribe_to(topic_filter, as_published=True, qos=qos)
            except ConnectionLost:
                return  # reported by ``AckedClient.lost``
            except SubscribeRefused as error:
                self._caution.answered(topic_filter)
                log = self._log.debug if attempt else self._log.warning
                log("subscription refused", topic=topic_filter, error=str(error))
                await asyncio.sleep(_RETRY.limit(attempt))
            else:
                self._caution.answered(topic_filter)
                if attempt or self._caution.wait_s:
                    self._log.info("subscribed", topic=topic_filter)
                return

    async def _watch(self, client: AckedClient) -> NoReturn:
        """Find out how old messages can be, and whether there are too many."""
        client.flood.on_topic = self._stirred.set
        await asyncio.sleep(FIRST_PING_S)
        while True:
            self._stirred.clear()
            self._end_pauses()
            if topic := client.flood.take():
                self._pause(topic)
            if any(each.timed() for listeners in self._listeners.values() for each in listeners):
                client.ping()
            elif not self._paused:
                await self._stirred.wait()
            await asyncio.sleep(PING_S)

    def _pause(self, topic: str) -> None:
        """Stop receiving messages at the filter of this topic for a while."""
        filters = [each for each in self._listeners if topic_matches(topic, each)]
        if not filters or filters[0] in self._paused:
            return
        now = time.monotonic()
        if now - self._pause_ended > _FLOOD_OVER_S:
            self._pause_s = None
        self._pause_s = _PAUSE.after(self._pause_s)
        self._paused[filters[0]], self._pause_said = now + self._pause_s, False
        self._changed.set()
        self._log.warning(
            "too many messages", topic=topic, hint=f"not subscribed for {self._pause_s:.0f} s"
        )

    def _end_pauses(self) -> None:
        now = time.monotonic()
        for topic_filter in [each for each, until in self._paused.items() if until <= now]:
            del self._paused[topic_filter]
            self._pause_ended = now
            self._changed.set()

    async def _pass_on(self, client: AckedClient) -> None:
        with suppress(ConnectionLost):  # reported by ``AckedClient.lost``
            async for message in client.received():
                self._log_dropped(client)
                for topic_filter, listener in self._listeners_to(message.topic):
                    if topic_filter in self._paused and message.topic not in listener.urgent():
                        self._drop(client, message, listener)
                        continue
                    try:
                        listener.on_message(message)
                    except Exception as error:
                        # A bug that a message triggers must not affect other messages.
                        self._log.exception("crashed", exc_info=error)
                    await listener.room()

    def _drop(self, client: AckedClient, message: Message, listener: _Listener) -> None:
        """Drop a message of a flood that had arrived before healthd unsubscribed."""
        client.dropped += 1
        if not self._pause_said:
            self._pause_said = True
            listener.on_flood(message)

    def _listeners_to(self, topic: str) -> list[tuple[str, _Listener]]:
        return [
            (topic_filter, listener)
            for topic_filter, listeners in self._listeners.items()
            if topic_matches(topic, topic_filter)
            for listener in listeners
        ]

    def _log_dropped(self, client: AckedClient) -> None:
        now = time.monotonic()
        if client.dropped and now - self._dropped_logged >= _LOG_DROPPED_S:
            self._dropped_logged = now
            self._log.warning("messages lost", number=client.dropped, hint="publish with QoS 1")
            client.dropped = 0
