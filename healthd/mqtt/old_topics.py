"""Clears what this gateway has retained under another id or prefix, unless that gateway lives."""

import asyncio
from collections.abc import Callable
from functools import partial

from healthd.log import get_logger
from healthd.mqtt.arrivals import Message
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.retained_topics import GATEWAY, RetainedTopics
from healthd.mqtt.topics import Topics

# Time for the broker to send the retained status of the old gateway after a subscription.
_STATUS_S = 3.0

Retain = Callable[[str, bytes, Callable[[], None]], None]
"""Publishes a retained message: topic, payload, and what to call once the broker has it."""


class OldTopics:
    """The retained topics of the gateway's earlier id or prefix."""

    def __init__(
        self, topics: Topics, inbox: Inbox, retained: RetainedTopics, retain: Retain
    ) -> None:
        """Wire it.

        Args:
            topics: of the gateway as it is now.
            inbox: receives the status of the old gateway.
            retained: records the topics that hold a retained message.
            retain: publishes.
        """
        self._topics = topics
        self._inbox = inbox
        self._retained = retained
        self._retain = retain
        self._old: list[tuple[str, str]] = []
        self._gateways: set[Topics] = set()
        self._online: set[Topics] = set()
        self._log = get_logger(service="mqtt")

    def find(self) -> None:
        """Look for old topics, and ask for the status of their gateways.

        Call it after the peripherals of the settings are known.
        """
        self._retained.add(GATEWAY, *self._topics.retained)
        self._old = self._retained.outside(self._topics)
        self._gateways = set(self._retained.gateways_outside(self._topics))
        for gateway in self._gateways:
            self._inbox.subscribe(gateway.status, self._on_status)

    async def clear(self) -> None:
        """Clear them, once after the first connection; call it on each one."""
        if not self._old:
            return
        # A copied SD card has the record of the gateway that it was copied from. That one is
        # online; this gateway's own earlier run has said that it is offline, or its will has.
        await asyncio.sleep(_STATUS_S)
        for gateway in self._gateways:
            self._inbox.unsubscribe(gateway.status, self._on_status)
        old, self._old = self._old, []
        alive = [topic for _, topic in old if any(each.is_own(topic) for each in self._online)]
        for peripheral, topic in old:
            forget = partial(self._retained.forget, peripheral, topic)
            if topic in alive:
                forget()
            else:
                self._retain(topic, b"", forget)
        if alive:
            self._log.warning(
                "retained topics not cleared",
                topics=sorted(alive),
                reason="another gateway with that id is online",
                hint="if it is not: mosquitto_pub -r -n -t TOPIC for each topic",
            )
        if cleared := sorted(topic for _, topic in old if topic not in alive):
            reason = "the gateway has another id or prefix now"
            self._log.info("retained topics cleared", topics=cleared, reason=reason)

    def _on_status(self, message: Message) -> None:
        if message.payload == b"online":
            self._online |= {each for each in self._gateways if each.status == message.topic}
