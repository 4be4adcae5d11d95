"""What the components of all devices have in common, and the payload that contains them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from healthd import __version__

Config = dict[str, Any]

QOS = 1

_ORIGIN = {"name": "healthd", "sw": __version__}


class Component(NamedTuple):
    """One entity.

    Attributes:
        id: unique within the device; it never changes.
        platform: Home Assistant's platform, such as ``sensor``.
        name: shown to people; no other entity of the device has it.
        config: everything else.
    """

    id: str
    platform: str
    name: str
    config: Config


def availability(*topics: str) -> list[dict[str, str]]:
    """Return an availability: available while each of the topics says ``online``."""
    return [{"t": topic} for topic in topics]


def gateway_id(gateway: str) -> str:
    """Return a gateway's identifier in Home Assistant."""
    return f"healthd_{gateway}"


def device_id(gateway: str, peripheral: str) -> str:
    """Return a peripheral's identifier in Home Assistant, which its name does not change."""
    return f"{gateway_id(gateway)}_{peripheral}"


def status(topic: str, name: str, shared: Config) -> Component:
    """Return the entity that shows whether a gateway or a peripheral is online."""
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
    """Return the payload of a device.

    Args:
        device: Home Assistant's description of the device; the ids of its entities start with the
            first of its ``ids``.
        slug: start of the entity ids that automations use.
        components: its entities.
        root: what the entities share besides the quality of service.
    """
    owner = device["ids"][0]
    cmps = {entity.id: _config(entity, owner, slug) for entity in components}
    return {"dev": device, "o": _ORIGIN, "qos": QOS, **root, "cmps": cmps}


def _config(entity: Component, owner: str, slug: str) -> Config:
    object_id = "_".join(_slug(part) for part in (slug, entity.name))
    return {
        "p": entity.platform,
        "name": entity.name,
        "uniq_id": f"{owner}_{entity.id}",
        "def_ent_id": f"{entity.platform}.{object_id}",
        **entity.config,
    }


def _slug(text: str) -> str:
    """Return the text as part of an entity id: lower case, digits and underscores."""
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in text)
    return "_".join(words.lower().split())
