"""The announcement of a peripheral: its measurements, its link, and its controls."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, get_args

from healthd.events import FetchOutcome
from healthd.mqtt.homeassistant.components import (
    Component,
    Config,
    announcement,
    availability,
    device_id,
    gateway_id,
    status,
)
from healthd.mqtt.homeassistant.controls import controls
from healthd.mqtt.homeassistant.fields import PAYLOAD, shown, words_config
from healthd.mqtt.homeassistant.location import tracker
from healthd.mqtt.homeassistant.names import Device, Names, title
from healthd.mqtt.homeassistant.people import results_of_people
from healthd.mqtt.homeassistant.streams import Stream, Streams
from healthd.mqtt.payloads import SessionState
from healthd.mqtt.topics import Topics
from healthd.profiles.registry import Registry
from healthd.settings.model import PeripheralSettings

# Home Assistant's keys of a device's identity, and ours. Not the serial number: it identifies a
# person's device, and Home Assistant does not need it.
_IDENTITY = {"name": "name", "mf": "maker", "mdl": "model", "sw": "firmware"}

# Absent until the first run.
_FETCH = f"({PAYLOAD}.fetch | default({{}}))"


class PeripheralPayloads:
    """Makes the payloads of a gateway's peripherals."""

    def __init__(self, topics: Topics, registry: Registry) -> None:
        """Start without a peripheral; ``registry`` has the measurements with their models."""
        self._topics = topics
        self._registry = registry
        self._known: set[str] = set()
        self._index(())

    def _index(self, names: Iterable[str]) -> None:
        """Index the measurements of these profiles, in addition to those that are indexed."""
        self._known.update(names)
        self._streams = Streams(self._registry.use(sorted(self._known)))
        self._names = Names(self._streams.all_shown())

    def payload(
        self,
        entry: PeripheralSettings,
        known: Mapping[str, Collection[str]],
        facts: Mapping[str, Any],
        requests: Collection[str],
    ) -> Config:
        """Return the payload of a peripheral.

        Args:
            entry: its settings.
            known: the keys that it has published, by kind.
            facts: what it has reported about itself.
            requests: the verbs that are allowed.
        """
        topics = self._topics
        device: Config = {
            "ids": [device_id(topics.gateway, entry.id)],
            "name": title(entry.id.replace("-", "_")),
            "via_device": gateway_id(topics.gateway),
        }
        identity = {key: facts.get(ours) for key, ours in _IDENTITY.items()}
        device |= {key: str(value) for key, value in identity.items() if value}
        components = [
            *_link(topics, entry),
            *self._measured(entry, known, facts),
        ]
        if not self._only_listens(entry, facts):
            components += controls(topics, entry, known, facts, requests)
        # Both, because the gateway publishes the peripheral's status: it stays ``online`` when the
        # gateway is gone.
        both = availability(topics.status, topics.device_status(entry.id))
        return announcement(device, entry.id, components, {"avty": both, "avty_mode": "all"})

    def _only_listens(self, entry: PeripheralSettings, facts: Mapping[str, Any]) -> bool:
        """Return whether there is no link that could carry a request."""
        found: Collection[str] = facts.get("profiles", ())
        known = self._registry.listed
        profiles = [known[name] for name in found if name in known]
        only_advertises = bool(profiles) and all(profile.only_advertises for profile in profiles)
        return entry.connect is False or entry.bind_key_file is not None or only_advertises

    def _measured(
        self,
        entry: PeripheralSettings,
        known: Mapping[str, Collection[str]],
        facts: Mapping[str, Any],
    ) -> Iterator[Component]:
        found: Collection[str] = facts.get("profiles", ())
        # What a stream is named depends on the other streams of the device, and on its rivals in
        # all profiles that have such a stream.
        kinds = (path.rpartition("/")[2] for path in known)
        needed = self._registry.publishing(kinds) | (self._registry.listed.keys() & found)
        if not needed <= self._known:
            self._index(needed)
        device = Device({*found, *self._names.profiles_of(known)}, known)
        for kind in sorted(known):
            if (stream := self._streams.of(kind, entry, found)) is not None:
                yield from self._of_stream(entry.id, kind, stream, known[kind], device)
        name_of = partial(self._names.of, device=device)
        stream_of = partial(self._streams.of, entry=entry, profiles=found)
        yield from results_of_people(self._topics, entry.id, known, stream_of, name_of)

    def _of_stream(
        self, peripheral: str, kind: str, stream: Stream, known: Collection[str], device: Device
    ) -> Iterator[Component]:
        topics = self._topics
        shared: Config = {"stat_t": topics.sample(peripheral, kind)}
        measurement = PAYLOAD
        if stream.in_info:
            shared["stat_t"] = topics.device_info(peripheral)
            measurement = f"({PAYLOAD}.{kind} | default({{}}))"
        if stream.expires_s is not None:
            shared["exp_aft"] = stream.expires_s
        if stream.lasting:
            shared["avty"] = availability(topics.status)
        for key in stream.model.model_fields:
            if key in known and (field := shown(stream.model, key, measurement)):
                name = self._names.of(kind, key, device)
                yield Component(f"{kind}_{key}", field.platform, name, shared | field.config)
        yield from tracker(kind, known, shared)


def _link(topics: Topics, entry: PeripheralSettings) -> Iterator[Component]:
    """Yield the entities of the link, which are available even while there is no link."""
    shared: Config = {"avty": availability(topics.status), "ent_cat": "diagnostic"}
    yield status(topics.device_status(entry.id), "Connection", shared)
    of_info = shared | {"stat_t": topics.device_info(entry.id)}
    state: Config = {
        **words_config(f"{PAYLOAD}.state", get_args(SessionState)),
        "ic": "mdi:bluetooth",
    }
    yield Component("link_state", "sensor", "Link", of_info | state)
    if not entry.periodic:
        return
    outcome: Config = {
        **words_config(f"{_FETCH}.outcome", get_args(FetchOutcome)),
        "ic": "mdi:download",
    }
    yield Component("fetch_outcome", "sensor", "Last fetch", of_info | outcome)
    if entry.every is not None:
        due: Config = {
            "val_tpl": f"{{{{ {_FETCH}.next_due | default(none) }}}}",
            "dev_cla": "timestamp",
        }
        yield Component("fetch_next_due", "sensor", "Next fetch", of_info | due)
