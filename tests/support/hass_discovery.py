"""What Home Assistant 2026.11 does with announcements while it is busy.

As its components/mqtt/discovery.py: a component that is being set up has a queue, and a message
with a component that has one ends with it: its other components are dropped.
"""

import asyncio
from collections.abc import Mapping
from typing import Any


class BusyHomeAssistant:
    """Sets up each entity in some time.

    Attributes:
        entities: the config of each entity that is set up, by topic and id.
        dropped: how many components it has dropped.
    """

    def __init__(self, setup_s: float) -> None:
        """Prepare; ``setup_s`` is the time for one entity, and all are set up at once."""
        self.entities: dict[str, dict[str, Any]] = {}
        self.dropped = 0
        self._setup_s = setup_s
        self._queues: dict[tuple[str, str], list[Mapping[str, Any]]] = {}

    def receive(self, topic: str, payload: Mapping[str, Any] | None) -> None:
        """Handle the message of one device; None: its topic was cleared."""
        known = self.entities.setdefault(topic, {})
        removed: dict[str, dict[str, Any]] = {id_: {} for id_ in known}
        components = removed if payload is None else payload["cmps"]
        for count, (id_, component) in enumerate(components.items(), start=1):
            config = {key: value for key, value in component.items() if key != "p"}
            if (queue := self._queues.get((topic, id_))) is not None:
                queue.append(config)
                self.dropped += len(components) - count
                return
            if config != known.get(id_, {}):
                self._set_up(topic, id_, config)

    def _set_up(self, topic: str, id_: str, config: Mapping[str, Any]) -> None:
        self._queues.setdefault((topic, id_), [])
        loop = asyncio.get_running_loop()
        loop.call_later(self._setup_s, self._done, topic, id_, config)

    def _done(self, topic: str, id_: str, config: Mapping[str, Any]) -> None:
        if config:
            self.entities[topic][id_] = config
        else:
            self.entities[topic].pop(id_, None)
        if queue := self._queues[topic, id_]:
            self._set_up(topic, id_, queue.pop(0))
        else:
            del self._queues[topic, id_]
