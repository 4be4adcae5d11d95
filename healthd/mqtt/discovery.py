"""Announces the gateway and its peripherals to Home Assistant, and takes back what is gone.

Off unless ``[mqtt] discovery`` names Home Assistant's prefix. What is announced of a peripheral is
what it was seen to publish: the first sample that holds a key adds an entity.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from healthd.log import get_logger
from healthd.mqtt.announced import Announced, Seen
from healthd.mqtt.arrivals import Message
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.payloads import DeviceAnnouncement, Payload
from healthd.mqtt.topics import Topics, birth
from healthd.profiles.registry import Registry
from healthd.samples import Sample
from healthd.settings.model import PeripheralSettings, Settings

if TYPE_CHECKING:
    from healthd.mqtt.homeassistant.peripheral import PeripheralPayloads

# Within two seconds of the first one a device has sent a sample of each of its streams, and a
# device that is announced once is announced as a whole.
SETTLE_S = 2.0

# Home Assistant asks everybody at once when it has started: many gateways spread their answers.
JITTER_S = (0.5, 5.0)

_GATEWAY = ""
"""Stands for the gateway where a peripheral's id would."""

_FACTS = (
    "name",
    "maker",
    "model",
    "firmware",
    "fitness_machine_feature",
    "supported_power_range",
    "supported_resistance_range",
    "supported_speed_range",
    "supported_inclination_range",
)


class Broker(Protocol):
    """Keeps topics at what they are put to."""

    def retain(
        self, topic: str, payload: Payload | bytes, on_accepted: Callable[[], None] | None = None
    ) -> None:
        """See ``publisher.Publisher``."""
        ...

    def renew(self, *topics: str) -> None:
        """See ``publisher.Publisher``."""
        ...


class Discovery:
    """What Home Assistant is told of one gateway."""

    def __init__(
        self, topics: Topics, broker: Broker, inbox: Inbox, folder: Path, registry: Registry
    ) -> None:
        """Wire it; nothing is announced before ``apply``.

        Args:
            topics: of the gateway.
            broker: keeps what is announced.
            inbox: hears when Home Assistant starts.
            folder: where what was announced is remembered.
            registry: what there is to measure.
        """
        self._topics = topics
        self._broker = broker
        self._inbox = inbox
        self._announced = Announced(folder)
        self._registry = registry
        self._peripherals: PeripheralPayloads | None = None
        self._prefix: str | None = None
        self._requests: tuple[str, ...] = ()
        self._entries: dict[str, PeripheralSettings] = {}
        self._known: dict[tuple[str, str], set[str]] = {}
        self._stale: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._forgotten = asyncio.Event()
        self._born = asyncio.Event()
        self._log = get_logger(service="discovery")

    def apply(self, settings: Settings) -> None:
        """Announce what these settings want announced, and nothing else any more."""
        self._listen(settings.mqtt.discovery)
        self._requests = settings.mqtt.requests
        found = settings.peripherals if self._prefix else ()
        self._entries = {one.id: one for one in found}
        before, self._known = self._announced.peripherals, {}
        for peripheral in list(before):
            entry = self._entries.get(peripheral)
            if entry is None or _match(entry) != before[peripheral].match:
                del before[peripheral]
        for peripheral, seen in before.items():
            for kind, keys in seen.streams.items():
                self._known[peripheral, kind] = set(keys)
        self._stale = dict.fromkeys(self._announcing())
        self._changed.set()

    def on_sample(self, sample: Sample) -> None:
        """A live sample is about to be published."""
        known = self._known.get((sample.peripheral, sample.stream))
        if known is None or not known.issuperset(sample.measurement.model_fields_set):
            self._learn(sample)

    def on_info(self, peripheral: str, info: Mapping[str, Any]) -> None:
        """What is known of a device has changed; while it streams, all of that has been read."""
        if peripheral not in self._entries or info["state"] != "streaming":
            return
        seen = self._seen(peripheral)
        facts = seen.facts | {key: info[key] for key in _FACTS if info.get(key) is not None}
        if facts != seen.facts:
            seen.facts = facts
            self._mark(peripheral)

    def _listen(self, prefix: str | None) -> None:
        if prefix != self._prefix:
            if self._prefix is not None:
                self._inbox.unsubscribe(birth(self._prefix), self._on_birth)
            if prefix is not None:
                self._inbox.subscribe(birth(prefix), self._on_birth)
        self._prefix = prefix

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Announce what changes, and everything when Home Assistant has started. Never returns."""
        mark_healthy()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_announced())
            tasks.create_task(self._answer_births())
            tasks.create_task(self._keep_forgotten())

    async def _keep_announced(self) -> NoReturn:
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_S)
            self._changed.clear()
            await self._announce()

    async def _answer_births(self) -> NoReturn:
        while True:
            await self._born.wait()
            await asyncio.sleep(random.uniform(*JITTER_S))
            self._born.clear()
            self._log.info("announced again", reason="Home Assistant has started")
            self._broker.renew(*self._announcing().values())

    async def _keep_forgotten(self) -> NoReturn:
        while True:
            await self._forgotten.wait()
            self._forgotten.clear()
            await self._announced.save()

    def _on_birth(self, message: Message) -> None:
        # Also when it was retained, as nobody should set it: it comes with each connection then.
        if message.payload == b"online":
            self._born.set()

    def _learn(self, sample: Sample) -> None:
        keys = self._known.setdefault((sample.peripheral, sample.stream), set())
        keys |= sample.measurement.model_fields_set
        # What cannot be decoded is published too; it is no measurement.
        if sample.peripheral in self._entries and sample.stream == sample.measurement.kind:
            self._seen(sample.peripheral).streams[sample.stream] = sorted(keys)
            self._mark(sample.peripheral)

    def _seen(self, peripheral: str) -> Seen:
        match = _match(self._entries[peripheral])
        return self._announced.peripherals.setdefault(peripheral, Seen(match=match))

    def _mark(self, peripheral: str) -> None:
        self._stale[peripheral] = None
        self._changed.set()

    def _announcing(self) -> dict[str, str]:
        """Topics by peripheral; the gateway's first: the others refer to it."""
        if self._prefix is None:
            return {}
        devices = (_GATEWAY, *self._entries)
        return {one: self._topics.announcement(self._prefix, one) for one in devices}

    async def _announce(self) -> None:
        stale, self._stale = self._stale, {}
        wanted = self._announcing()
        messages = [self._message(one, wanted[one]) for one in stale if one in wanted]
        left = self._announced.topics.keys() - set(wanted.values())
        # Before it is published: what nobody remembers can never be taken back.
        await self._announced.save()
        for topic, payload, gone in messages:
            told = partial(self._told_gone, topic, gone) if gone else None
            self._broker.retain(topic, DeviceAnnouncement.of(payload), told)
        for topic in sorted(left):
            self._log.info("discovery removed", topic=topic)
            self._broker.retain(topic, b"", partial(self._told_empty, topic))

    def _message(self, peripheral: str, topic: str) -> tuple[str, dict[str, Any], dict[str, str]]:
        """The topic, what stands there now, and which of its entities are no more."""
        payload = self._payload(peripheral)
        cmps = payload["cmps"]
        before = self._announced.topics.get(topic, {})
        gone = {
            one: platform
            for one, platform in before.items()
            if one not in cmps or cmps[one]["p"] != platform
        }
        if cmps.keys() != before.keys():
            self._log.info("announced", topic=topic, entities=len(cmps), removed=len(gone))
        # One that is of another platform now is there again once the broker knows it gone.
        cmps |= {one: {"p": platform} for one, platform in gone.items()}
        self._announced.topics[topic] = {one: config["p"] for one, config in cmps.items()}
        return topic, payload, gone

    def _payload(self, peripheral: str) -> dict[str, Any]:
        # Not loaded by a gateway that announces nothing.
        from healthd.mqtt.homeassistant.gateway import gateway
        from healthd.mqtt.homeassistant.peripheral import PeripheralPayloads

        if peripheral == _GATEWAY:
            return gateway(self._topics, self._requests)
        if self._peripherals is None:
            self._peripherals = PeripheralPayloads(self._topics, self._registry)
        seen = self._announced.peripherals.get(peripheral)
        streams, facts = (seen.streams, seen.facts) if seen else ({}, {})
        return self._peripherals.payload(self._entries[peripheral], streams, facts, self._requests)

    def _told_gone(self, topic: str, gone: Mapping[str, str]) -> None:
        """Home Assistant has removed these; now they can be left out."""
        known = self._announced.topics[topic]
        for one in gone:
            del known[one]
        for peripheral, other in self._announcing().items():
            if other == topic:
                self._mark(peripheral)

    def _told_empty(self, topic: str) -> None:
        if topic not in self._announcing().values():
            self._announced.topics.pop(topic, None)
            self._forgotten.set()


def _match(entry: PeripheralSettings) -> str:
    return entry.address or entry.name or entry.service or ""
