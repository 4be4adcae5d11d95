"""The entities of people: the last result of each of them, no matter who used the device last."""

from collections.abc import Callable, Collection, Iterator, Mapping

from healthd.mqtt.homeassistant.components import Component, Config, availability
from healthd.mqtt.homeassistant.fields import shown
from healthd.mqtt.homeassistant.names import title
from healthd.mqtt.homeassistant.streams import Stream
from healthd.mqtt.topics import Topics, person_of

# About the device's own view of the user, not about the person.
_NOT_OF_A_PERSON = frozenset({"user_id"})


def results_of_people(
    topics: Topics,
    peripheral: str,
    known: Mapping[str, Collection[str]],
    stream_of: Callable[[str], Stream | None],
    name_of: Callable[[str, str], str],
) -> Iterator[Component]:
    """Yield an entity for each value of each person, such as "Weight Anna".

    Each person has a topic with the last result retained, so the entities need no condition in
    their templates and are right after a restart of Home Assistant.

    Args:
        topics: of the gateway.
        peripheral: the device's id.
        known: the keys that it has published, by stream.
        stream_of: returns the device's stream of a kind of measurement.
        name_of: returns the name of a key of a kind of measurement.
    """
    for path in sorted(known):
        kind = path.rpartition("/")[2]
        person, stream = person_of(path), stream_of(kind)
        if person is None or stream is None:
            continue
        shared: Config = {
            "stat_t": topics.sample(peripheral, path),
            "avty": availability(topics.status),
        }
        for key in stream.model.model_fields:
            if key not in known[path] or key in _NOT_OF_A_PERSON:
                continue
            if field := shown(stream.model, key):
                name = f"{name_of(kind, key)} {title(person.replace('-', '_'))}"
                id_ = f"{path.replace('/', '_')}_{key}"
                yield Component(id_, field.platform, name, shared | field.config)
