"""What Home Assistant shows of a gateway's devices, next to what was announced and published."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.hass.api import Api
from tests.support.hass_states import UNKNOWN, state
from tests.support.subscriber import Received

Json = Mapping[str, Any]

_ANNOUNCEMENTS = "homeassistant/device/"

# Scales that only advertise do not know their users: whether a weight could be Anna's is chance, as
# it is whether an intermediate weight already has an impedance, or a split of a workout is over.
_BY_CHANCE = re.compile(
    r"_(mi-scale|mi-body-scale|okok)_(person_|intermediate_weight_impedance)"
    r"|_pm5_ergometer_(last_split|split|workout|recovery)_"
)


class Entity(NamedTuple):
    """One announced entity.

    Attributes:
        id: its unique id.
        device: the topic level that names its device in the announcement.
        config: as announced.
        row: of Home Assistant's registry; None if Home Assistant does not know the entity.
        state: its state and attributes; None if there is none, as of a disabled entity.
        published: the states that follow from the messages at its topic; None for unknown.
    """

    id: str
    device: str
    config: Json
    row: Json | None
    state: Json | None
    published: list[Any]

    @property
    def is_enabled(self) -> bool:
        """Whether Home Assistant keeps a state of it."""
        return self.row is not None and self.row["disabled_by"] is None

    @property
    def is_on_dashboard(self) -> bool:
        """Whether Home Assistant puts it on the dashboard that it makes by itself."""
        return self.is_enabled and self.row is not None and self.row["entity_category"] is None

    @property
    def name(self) -> str:
        """Its own name, without that of the device."""
        return str(self.config["name"])

    @property
    def value(self) -> str | None:
        """Its state; None if there is none."""
        return None if self.state is None else str(self.state["state"])

    @property
    def attributes(self) -> Json:
        """The attributes of its state."""
        return {} if self.state is None else self.state["attributes"]


class Snapshot(NamedTuple):
    """All devices of a gateway at one time.

    Attributes:
        entities: by unique id.
        unannounced: unique ids of entities that Home Assistant has, although no announcement does.
        devices: rows of Home Assistant's registry, by the identifier that was announced.
    """

    entities: Mapping[str, Entity]
    unannounced: list[str]
    devices: Mapping[str, Json]

    @property
    def ids(self) -> dict[str, str]:
        """The entity id by unique id, without entities that are there by chance."""
        return {
            one.id: one.row["entity_id"]
            for one in self.entities.values()
            if one.row is not None and not _BY_CHANCE.search(one.id)
        }


async def look(api: Api, messages: Iterable[Received]) -> Snapshot:
    """Ask Home Assistant for everything, and compare it with what was published before."""
    rows, devices, states = await api.ask(
        {"type": "config/entity_registry/list"},
        {"type": "config/device_registry/list"},
        {"type": "get_states"},
    )
    # Only now: all that Home Assistant shows is among the messages.
    by_topic: dict[str, list[bytes]] = defaultdict(list)
    for one in messages:
        by_topic[one.topic].append(one.payload)
    by_id = {row["unique_id"]: row for row in rows if row["platform"] == "mqtt"}
    of_entity = {one["entity_id"]: one for one in states}
    entities: dict[str, Entity] = {}
    for id_, (device, config) in announced(by_topic).items():
        row = by_id.get(id_)
        now = of_entity.get(row["entity_id"]) if row else None
        entities[id_] = Entity(id_, device, config, row, now, _published(config, by_topic))
    return Snapshot(
        entities,
        sorted(by_id.keys() - entities.keys()),
        {
            identifier: device
            for device in devices
            for domain, identifier in device["identifiers"]
            if domain == "mqtt"
        },
    )


def announced(by_topic: Mapping[str, list[bytes]]) -> dict[str, tuple[str, Json]]:
    """Return the announced entities by unique id: their device and their configuration."""
    found: dict[str, tuple[str, Json]] = {}
    for topic, payloads in by_topic.items():
        if topic.startswith(_ANNOUNCEMENTS) and payloads[-1]:
            payload = json.loads(payloads[-1])
            for config in payload["cmps"].values():
                # One with only its platform is to be removed.
                if len(config) > 1:
                    device = topic.removeprefix(_ANNOUNCEMENTS).removesuffix("/config")
                    found[config["uniq_id"]] = device, config
    return found


def _published(config: Json, by_topic: Mapping[str, list[bytes]]) -> list[Any]:
    # A device tracker has no state of its own: that is the zone that contains its position.
    topic = config.get("stat_t") or config.get("json_attr_t", "")
    states: list[Any] = []
    for payload in by_topic.get(topic, ()):
        if payload:
            states.append(state(config, payload, states[-1] if states else UNKNOWN))
    return states
