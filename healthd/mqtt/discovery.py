"""Decides when the gateway and its peripherals are announced to Home Assistant.

Off unless ``[mqtt] discovery`` names Home Assistant's prefix. A peripheral is announced with the
keys that it has been seen to publish: the first sample with a new key adds an entity.

While Home Assistant sets up an entity, it drops the other entities of any newer announcement of the
same device (``return`` in the loop over the components in its mqtt/discovery.py, 2026.11). So a
peripheral's first announcement waits until the peripheral streams, and each announcement is sent
once more when Home Assistant must be done with it: then it takes what it dropped, and ignores the
rest.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from healthd.log import get_logger
from healthd.mqtt.agenda import Agenda, Due
from healthd.mqtt.announced import Announced, Seen
from healthd.mqtt.announcements import GATEWAY, Announcement, Announcements, Broker
from healthd.mqtt.arrivals import Message
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.topics import Topics, birth, person_of
from healthd.profiles.registry import Registry
from healthd.samples import Sample
from healthd.settings.model import PeripheralSettings, Settings

# Within two seconds of its first sample a device has sent one sample of each stream, so that a
# single announcement has all its entities.
SETTLE_S = 2.0

# A peripheral that is in range streams within this time of the start. One that is not is announced
# then, with the entities of its link.
FIRST_S = 20.0

# The first sensors after a start of Home Assistant took it seconds to set up; a hundred entities
# took a slow machine less than ten.
REPEAT_S = 20.0

# When Home Assistant starts, all gateways announce themselves again: the delay spreads them.
JITTER_S = (0.5, 5.0)

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
        self._inbox = inbox
        self._announced = Announced(folder)
        self._announcements = Announcements(topics, broker, self._announced, registry)
        self._agenda = Agenda()
        self._prefix: str | None = None
        self._known: dict[tuple[str, str], set[str]] = {}
        self._cleared = asyncio.Event()
        self._started = asyncio.Event()
        self._log = get_logger(service="discovery")

    def apply(self, settings: Settings) -> None:
        """Announce the peripherals of these settings, and remove all others."""
        self._subscribe(settings.mqtt.discovery)
        if self._prefix and not settings.mqtt.retain:
            self._log.warning(
                "announcements are not retained",
                reason="[mqtt] retain = false",
                hint="Home Assistant needs them after each start: set retain = true, or [mqtt] "
                "discovery only with a broker that keeps retained messages",
            )
        self._announcements.apply(settings)
        before, self._known = self._announced.peripherals, {}
        for peripheral in list(before):
            entry = self._announcements.entries.get(peripheral)
            if entry is None or _match(entry) != before[peripheral].match:
                del before[peripheral]
        people = {person.id for person in settings.people}
        for peripheral, seen in before.items():
            for stream in [stream for stream in seen.streams if _is_of_others(stream, people)]:
                del seen.streams[stream]
            for kind, keys in seen.streams.items():
                self._known[peripheral, kind] = set(keys)
        self._plan()

    def _plan(self) -> None:
        announced, topics = self._announced, self._announcements.topics
        self._agenda.keep(*topics)
        for device, topic in topics.items():
            is_new = device not in announced.peripherals and topic not in announced.topics
            self._agenda.plan(device, FIRST_S if is_new and device != GATEWAY else SETTLE_S)
        for topic in self._announcements.left:
            # Home Assistant would drop the removal of entities that it is setting up.
            if not self._agenda.repeats(topic):
                self._agenda.repeat(topic, SETTLE_S)

    def on_sample(self, sample: Sample) -> None:
        """Announce the keys of a live sample that have a value for the first time."""
        known = self._known.get((sample.peripheral, sample.stream))
        if known is None or not known.issuperset(sample.measurement.model_fields_set):
            self._learn(sample)

    def on_info(self, peripheral: str, info: Mapping[str, Any]) -> None:
        """Announce new facts of a device. Once its state is streaming, all have been read."""
        if peripheral not in self._announcements.entries or info["state"] != "streaming":
            return
        seen = self._seen(peripheral)
        facts = seen.facts | {key: info[key] for key in _FACTS if info.get(key) is not None}
        # A link on which BlueZ has not found all services has fewer profiles.
        facts["profiles"] = sorted({*seen.facts.get("profiles", ()), *info.get("profiles", ())})
        if facts == seen.facts:
            return
        has_streamed, seen.facts = _has_streamed(seen), facts
        if has_streamed:
            self._agenda.plan(peripheral, SETTLE_S)
        else:
            self._agenda.postpone(peripheral, SETTLE_S)

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
            tasks.create_task(self._announce_due(), name="mqtt discovery")
            tasks.create_task(self._announce_again(), name="mqtt discovery restarts")
            tasks.create_task(self._save_cleared(), name="mqtt discovery file")

    async def _announce_due(self) -> NoReturn:
        while True:
            await self._announce(await self._agenda.next())

    async def _announce_again(self) -> NoReturn:
        while True:
            await self._started.wait()
            await asyncio.sleep(random.uniform(*JITTER_S))
            self._started.clear()
            self._log.info("announced again", reason="Home Assistant has started")
            for device, topic in self._announcements.topics.items():
                if topic in self._announced.topics:
                    self._agenda.plan(device, 0)

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
        measurement, peripheral, stream = sample.measurement, sample.peripheral, sample.stream
        # Undecoded bytes are published too, but have no entity.
        has_entities = stream.rpartition("/")[2] == measurement.kind
        if peripheral not in self._announcements.entries or not has_entities:
            return
        keys = self._known.setdefault((peripheral, stream), set())
        # A key that is always null would be an entity that is unknown forever.
        fresh = measurement.model_fields_set - keys
        fresh = {key for key in fresh if getattr(measurement, key) is not None}
        if fresh:
            keys |= fresh
            seen = self._seen(peripheral)
            seen.streams[stream] = sorted(keys)
            self._agenda.plan(peripheral, SETTLE_S if _has_streamed(seen) else FIRST_S)

    def _seen(self, peripheral: str) -> Seen:
        match = _match(self._announcements.entries[peripheral])
        return self._announced.peripherals.setdefault(peripheral, Seen(match=match))

    async def _announce(self, due: Due) -> None:
        announcements = self._announcements
        topics = announcements.topics
        devices = {topic: device for device, topic in topics.items()}
        # One may have left the settings since it was planned.
        changed = [announcements.compose(device) for device in due.devices if device in topics]
        # A device that is announced now is repeated later.
        again = [devices[topic] for topic in due.repeats if topic in devices]
        repeated = [announcements.compose(one) for one in again if one not in due.devices]
        # Record it before publishing: otherwise a crash in between would leave an announcement that
        # healthd never removes.
        await self._announced.save()
        for message in changed:
            announcements.publish(message, partial(self._on_announced, message))
        for message in repeated:
            announcements.publish(message, partial(self._on_repeated, message))
        for topic in due.repeats:
            if topic not in devices:
                announcements.clear(topic, self._cleared.set)

    def _on_announced(self, message: Announcement) -> None:
        self._agenda.repeat(message.topic, REPEAT_S)

    def _on_repeated(self, message: Announcement) -> None:
        """Leave out the entities that Home Assistant has removed by now."""
        if message.gone:
            self._announcements.forget(message)
            self._agenda.plan(message.device, 0)


def _is_of_others(stream: str, people: Collection[str]) -> bool:
    """Return whether a stream is one person's who is not among these people."""
    return (person := person_of(stream)) is not None and person not in people


def _has_streamed(seen: Seen) -> bool:
    """Return whether all that describes the device has been read at least once."""
    return "profiles" in seen.facts


def _match(entry: PeripheralSettings) -> str:
    return entry.address or entry.name or entry.service or ""
