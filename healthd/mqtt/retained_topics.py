"""The topics at which the broker retains something for each peripheral, kept across restarts.

The broker keeps a retained message forever, even if its peripheral was removed from the settings
while healthd was down, or if the gateway got another id or prefix, and a gateway that only
publishes cannot ask the broker what it keeps. So
each topic is recorded before something is retained there, and forgotten once the broker has
acknowledged that it is empty.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from healthd.host.state_file import StateFile
from healthd.mqtt.topics import Topics, gateway_of, is_valid, person_at

FILE_NAME = "retained.json"

GATEWAY = ""
"""Stands for the gateway itself in place of a peripheral's id."""


class RetainedTopics:
    """The topics that may hold a retained message, by peripheral; ``GATEWAY`` has its own."""

    def __init__(self, folder: Path) -> None:
        """Read the file in ``folder``, if there is one."""
        self._file = StateFile(folder / FILE_NAME, "retained topics")
        self._topics = _read(self._file.read())
        self._configured: set[str] = set()
        self._people: frozenset[str] = frozenset()
        self._changed = asyncio.Event()

    def add(self, peripheral: str, *topics: str) -> None:
        """Add a peripheral of the settings, and topics at which its state will be retained."""
        self._configured.add(peripheral)
        for topic in topics:
            self.note_retained(peripheral, topic)

    def note_retained(self, peripheral: str, topic: str) -> bool:
        """Record a topic if something may be retained there; return whether it may.

        Nothing may be retained for a peripheral that is no longer in the settings: a result that
        is delivered late would otherwise stay at the broker. The same holds for a person.
        """
        if peripheral not in self._configured or self._is_of_other_people(topic):
            return False
        known = self._topics.setdefault(peripheral, [])
        if topic not in known:
            known.append(topic)
            self._changed.set()
        return True

    def remove(self, peripheral: str) -> list[str]:
        """Remove a peripheral that left the settings; return the topics to be cleared."""
        self._configured.discard(peripheral)
        return list(self._topics.get(peripheral, ()))

    def forget(self, peripheral: str, topic: str) -> None:
        """Forget a topic that the broker has cleared."""
        known = self._topics.get(peripheral, [])
        if topic in known:
            known.remove(topic)
            self._changed.set()
        if not known:
            self._topics.pop(peripheral, None)

    def removed_peripherals(self) -> Collection[str]:
        """Return the peripherals with recorded topics that are not in the settings."""
        return self._topics.keys() - self._configured

    def use_people(self, people: Iterable[str]) -> list[tuple[str, str]]:
        """Note who is in the settings; return what is recorded for others, to be cleared.

        These are peripherals and their topics.
        """
        self._people = frozenset(people)
        return [
            (peripheral, topic)
            for peripheral, known in self._topics.items()
            for topic in known
            if self._is_of_other_people(topic)
        ]

    def _is_of_other_people(self, topic: str) -> bool:
        person = person_at(topic)
        return person is not None and person not in self._people

    def outside(self, topics: Topics) -> list[tuple[str, str]]:
        """Return what is recorded for another gateway id or prefix: peripherals and their topics.

        Without the peripherals that are not in the settings.
        """
        # healthd 0.1 has not recorded the gateway's own topics.
        own = [topic for gateway in self.gateways_outside(topics) for topic in gateway.retained]
        recorded = self._recorded_outside(topics)
        return [
            *((GATEWAY, topic) for topic in own if (GATEWAY, topic) not in recorded),
            *(found for found in recorded if found[0] in self._configured),
        ]

    def gateways_outside(self, topics: Topics) -> list[Topics]:
        """Return the other gateway ids and prefixes for which something is recorded."""
        gateways = {gateway_of(*found): None for found in self._recorded_outside(topics)}
        return [gateway for gateway in gateways if gateway is not None]

    def _recorded_outside(self, topics: Topics) -> list[tuple[str, str]]:
        return [
            (peripheral, topic)
            for peripheral, known in self._topics.items()
            for topic in known
            if not topics.is_own(topic)
        ]

    async def save(self) -> None:
        """Write the file if anything has changed."""
        if self._changed.is_set():
            self._changed.clear()
            await self._file.keep(self._topics)

    async def run(self, mark_healthy: Callable[[], None]) -> NoReturn:
        """Write every change as it happens."""
        mark_healthy()
        while True:
            await self._changed.wait()
            await self.save()


def _read(document: Any) -> dict[str, list[str]]:
    try:
        return {peripheral: list(_topics(known)) for peripheral, known in document.items()}
    except (TypeError, AttributeError):
        return {}


def _topics(known: Any) -> Iterator[str]:
    for topic in known:
        # The file may have been edited, or is an older one, without a checksum.
        if isinstance(topic, str) and "/" in topic and is_valid(topic):
            yield topic
