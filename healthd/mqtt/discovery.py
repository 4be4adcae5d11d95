"""Announces the gateway and its peripherals to Home Assistant, and removes what is gone.

Off unless ``[mqtt] discovery`` names Home Assistant's prefix. A peripheral is announced with the
keys that it has been seen to publish: the first sample with a new key adds an entity.
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

# Within two seconds of its first sample a device has sent one sample of each stream, so that a
# single announcement has all its entities.
SETTLE_S = 2.0

# When Home Assistant starts, all gateways announce themselves again: the delay spreads them.
JITTER_S = (0.5, 5.0)

_GATEWAY = ""
"""Stands for the gateway in place of a peripheral's id."""

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
    """Publishes retained messages."""

    def retain(
        self, topic: str, payload: Payload | bytes, on_accepted: Callable[[], None] | None = None
    ) -> None:
        """See ``publisher.Publisher``."""
        ...

    def renew(self, *topics: str) -> None:
        """See ``publisher.Publisher``."""
        ...


class Discovery:
    """The announcements of one gateway."""

    def __init__(
        self, topics: Topics, broker: Broker, inbox: Inbox, folder: Path, registry: Registry
    ) -> None:
        """Wire it; ``apply`` starts announcing.

        Args:
            topics: of the gateway.
            broker: publishes the announcements.
            inbox: receives Home Assistant's birth message.
            folder: for the record of what has been announced.
            registry: the measurements with their models.
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
        self._cleared = asyncio.Event()
        self._started = asyncio.Event()
        self._log = get_logger(service="discovery")

    def apply(self, settings: Settings) -> None:
        """Announce the peripherals of these settings, and remove all others."""
        self._subscribe(settings.mqtt.discovery)
        self._requests = settings.mqtt.requests
        if self._prefix and not settings.mqtt.retain:
            self._log.warning(
                "announcements are not retained",
                reason="[mqtt] retain = false",
                hint="Home Assistant needs them after each start: set retain = true, or [mqtt] "
                "discovery only with a broker that keeps retained messages",
            )
        announced = settings.peripherals if self._prefix else ()
        self._entries = {entry.id: entry for entry in announced}
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
        """Announce the keys of a live sample that are new."""
        known = self._known.get((sample.peripheral, sample.stream))
        if known is None or not known.issuperset(sample.measurement.model_fields_set):
            self._learn(sample)

    def on_info(self, peripheral: str, info: Mapping[str, Any]) -> None:
        """Announce new facts of a device. Once its state is streaming, all have been read."""
        if peripheral not in self._entries or info["state"] != "streaming":
            return
        seen = self._seen(peripheral)
        facts = seen.facts | {key: info[key] for key in _FACTS if info.get(key) is not None}
        if facts != seen.facts:
            seen.facts = facts
            self._mark(peripheral)

    def _subscribe(self, prefix: str | None) -> None:
        if prefix != self._prefix:
            if self._prefix is not None:
                self._inbox.unsubscribe(birth(self._prefix), self._on_birth)
            if prefix is not None:
                self._inbox.subscribe(birth(prefix), self._on_birth)
        self._prefix = prefix

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Announce changes, and everything when Home Assistant has started. Never returns."""
        mark_healthy()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._announce_changes(), name="mqtt discovery changes")
            tasks.create_task(self._announce_again(), name="mqtt discovery restarts")
            tasks.create_task(self._save_cleared(), name="mqtt discovery file")

    async def _announce_changes(self) -> NoReturn:
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_S)
            self._changed.clear()
            await self._announce()

    async def _announce_again(self) -> NoReturn:
        while True:
            await self._started.wait()
            await asyncio.sleep(random.uniform(*JITTER_S))
            self._started.clear()
            self._log.info("announced again", reason="Home Assistant has started")
            self._broker.renew(*self._announcing().values())

    async def _save_cleared(self) -> NoReturn:
        while True:
            await self._cleared.wait()
            self._cleared.clear()
            await self._announced.save()

    def _on_birth(self, message: Message) -> None:
        # Also accepted if it is retained, which it should not be: it then arrives on every connect.
        if message.payload == b"online":
            self._started.set()

    def _learn(self, sample: Sample) -> None:
        keys = self._known.setdefault((sample.peripheral, sample.stream), set())
        keys |= sample.measurement.model_fields_set
        # Undecoded bytes are published too, but have no entity.
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
        """Return topics by peripheral; the gateway's first, because the others refer to it."""
        if self._prefix is None:
            return {}
        devices = (_GATEWAY, *self._entries)
        return {device: self._topics.announcement(self._prefix, device) for device in devices}

    async def _announce(self) -> None:
        stale, self._stale = self._stale, {}
        wanted = self._announcing()
        messages = [self._message(device, wanted[device]) for device in stale if device in wanted]
        left = self._announced.topics.keys() - set(wanted.values())
        # Record it before publishing: otherwise a crash in between would leave an announcement that
        # healthd never removes.
        await self._announced.save()
        for topic, payload, gone in messages:
            on_accepted = partial(self._on_removed, topic, gone) if gone else None
            self._broker.retain(topic, DeviceAnnouncement.of(payload), on_accepted)
        for topic in sorted(left):
            self._log.info("discovery removed", topic=topic)
            self._broker.retain(topic, b"", partial(self._on_cleared, topic))

    def _message(self, peripheral: str, topic: str) -> tuple[str, dict[str, Any], dict[str, str]]:
        """Return the topic, its new payload, and the platforms of removed entities by id."""
        payload = self._payload(peripheral)
        cmps = payload["cmps"]
        before = self._announced.topics.get(topic, {})
        gone = {
            component: platform
            for component, platform in before.items()
            if component not in cmps or cmps[component]["p"] != platform
        }
        if cmps.keys() != before.keys():
            self._log.info("announced", topic=topic, entities=len(cmps), removed=len(gone))
        # An entity with only a platform is removed. If its platform changed, the next message, once
        # the broker has accepted this one, adds it again.
        cmps |= {component: {"p": platform} for component, platform in gone.items()}
        self._announced.topics[topic] = {
            component: config["p"] for component, config in cmps.items()
        }
        return topic, payload, gone

    def _payload(self, peripheral: str) -> dict[str, Any]:
        # Only loaded by a gateway that announces something.
        from healthd.mqtt.homeassistant.gateway import gateway_payload
        from healthd.mqtt.homeassistant.peripheral import PeripheralPayloads

        if peripheral == _GATEWAY:
            return gateway_payload(self._topics, self._requests)
        if self._peripherals is None:
            self._peripherals = PeripheralPayloads(self._topics, self._registry)
        seen = self._announced.peripherals.get(peripheral)
        streams, facts = (seen.streams, seen.facts) if seen else ({}, {})
        return self._peripherals.payload(self._entries[peripheral], streams, facts, self._requests)

    def _on_removed(self, topic: str, gone: Mapping[str, str]) -> None:
        """Leave out the entities that Home Assistant has removed by now."""
        known = self._announced.topics[topic]
        for component in gone:
            del known[component]
        for peripheral, other in self._announcing().items():
            if other == topic:
                self._mark(peripheral)

    def _on_cleared(self, topic: str) -> None:
        if topic not in self._announcing().values():
            self._announced.topics.pop(topic, None)
            self._cleared.set()


def _match(entry: PeripheralSettings) -> str:
    return entry.address or entry.name or entry.service or ""
