"""What the components of all devices have in common, and the payload that holds them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from healthd import __version__
from healthd.mqtt.homeassistant.looks import title

Config = dict[str, Any]

QOS = 1

_ORIGIN = {"name": "healthd", "sw": __version__}


class Component(NamedTuple):
    """One entity.

    Attributes:
        id: of its own among those of its device; it never changes.
        platform: of Home Assistant.
        name: for people.
        config: everything else.
        stream: in words, what it is from: told where a device has another one of its name.
    """

    id: str
    platform: str
    name: str
    config: Config
    stream: str = ""


def availability(*topics: str) -> list[dict[str, str]]:
    """Available while ``online`` stands at each of the topics."""
    return [{"t": topic} for topic in topics]


def gateway_id(gateway: str) -> str:
    """What Home Assistant knows a gateway by."""
    return f"healthd_{gateway}"


def device_id(gateway: str, peripheral: str) -> str:
    """What it knows a peripheral by: its name may change."""
    return f"{gateway_id(gateway)}_{peripheral}"


def status(topic: str, name: str, shared: Config) -> Component:
    """Whether somebody is online."""
    config = {
        "stat_t": topic,
        "pl_on": "online",
        "pl_off": "offline",
        "dev_cla": "connectivity",
        "ent_cat": "diagnostic",
    }
    return Component("status", "binary_sensor", name, config | shared)


def announcement(
    device: Config, slug: str, components: Iterable[Component], root: Mapping[str, Any]
) -> Config:
    """The whole payload of a device.

    Args:
        device: who it is; the first of its ``ids`` begins the ids of its entities.
        slug: begins the names by which automations know its entities.
        components: its entities.
        root: what they share beside the quality of service.
    """
    found = list(components)
    times = Counter(one.name for one in found)
    cmps = {one.id: _config(one, times[one.name] > 1, device["ids"][0], slug) for one in found}
    return {"dev": device, "o": _ORIGIN, "qos": QOS, **root, "cmps": cmps}


def _config(one: Component, shared: bool, owner: str, slug: str) -> Config:
    name = f"{one.name} ({one.stream})" if shared and one.stream else one.name
    entity = "_".join(_plain(part) for part in (slug, name))
    return {
        "p": one.platform,
        "name": name,
        "uniq_id": f"{owner}_{one.id}",
        "def_ent_id": f"{one.platform}.{entity}",
        **one.config,
    }


def _plain(text: str) -> str:
    """As Home Assistant has ids: lower case, digits and underscores."""
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in text)
    return "_".join(words.lower().split())


def words(kind: str) -> str:
    """A stream's kind, as a person would say it."""
    return title(kind)[0].lower() + title(kind)[1:]
