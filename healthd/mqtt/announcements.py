"""Composes and publishes the announcement of each device, and removes what is gone."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from healthd.log import get_logger
from healthd.mqtt.announced import Announced
from healthd.mqtt.payloads import DeviceAnnouncement, Payload
from healthd.mqtt.topics import Topics
from healthd.profiles.registry import Registry
from healthd.settings.model import PeripheralSettings, Settings

if TYPE_CHECKING:
    from healthd.mqtt.homeassistant.peripheral import PeripheralPayloads

GATEWAY = ""
"""Stands for the gateway in place of a peripheral's id."""


class Broker(Protocol):
    """Publishes retained messages."""

    def retain(
        self, topic: str, payload: Payload | bytes, on_accepted: Callable[[], None] | None = None
    ) -> None:
        """See ``publisher.Publisher``."""
        ...


class Announcement(NamedTuple):
    """The message of one device.

    Attributes:
        device: a peripheral's id, or ``GATEWAY``.
        topic: where it is published.
        payload: in Home Assistant's format.
        gone: the platforms of the entities that it removes, by id.
    """

    device: str
    topic: str
    payload: dict[str, Any]
    gone: dict[str, str]


class Announcements:
    """The announcements of one gateway and its peripherals.

    Attributes:
        entries: the peripherals that are announced, by id.
    """

    def __init__(
        self, topics: Topics, broker: Broker, announced: Announced, registry: Registry
    ) -> None:
        """Wire it.

        Args:
            topics: of the gateway.
            broker: publishes the announcements.
            announced: the record of what has been announced.
            registry: the measurements with their models.
        """
        self.entries: dict[str, PeripheralSettings] = {}
        self._topics = topics
        self._broker = broker
        self._announced = announced
        self._registry = registry
        self._peripherals: PeripheralPayloads | None = None
        self._prefix: str | None = None
        self._requests: tuple[str, ...] = ()
        self._log = get_logger(service="discovery")

    def apply(self, settings: Settings) -> None:
        """Announce the peripherals of these settings from now on."""
        self._prefix, self._requests = settings.mqtt.discovery, settings.mqtt.requests
        announced = settings.peripherals if self._prefix else ()
        self.entries = {entry.id: entry for entry in announced}

    @property
    def topics(self) -> dict[str, str]:
        """Topics by device; the gateway's first, because the others refer to it."""
        if self._prefix is None:
            return {}
        devices = (GATEWAY, *self.entries)
        return {device: self._topics.announcement(self._prefix, device) for device in devices}

    @property
    def left(self) -> list[str]:
        """The topics that hold an announcement of something that is no longer announced."""
        return sorted(self._announced.topics.keys() - set(self.topics.values()))

    def compose(self, device: str) -> Announcement:
        """Return a device's message, and record what Home Assistant will know once it has it.

        An entity with only a platform is removed. Home Assistant keeps one that is merely left out.
        If its platform changed, the message that follows the removal adds it again.
        """
        topic, payload = self.topics[device], self._payload(device)
        cmps = payload["cmps"]
        before = self._announced.topics.get(topic, {})
        gone = {
            component: platform
            for component, platform in before.items()
            if component not in cmps or cmps[component]["p"] != platform
        }
        if cmps.keys() != before.keys():
            self._log.info("announced", topic=topic, entities=len(cmps), removed=len(gone))
        cmps |= {component: {"p": platform} for component, platform in gone.items()}
        self._announced.topics[topic] = {
            component: config["p"] for component, config in cmps.items()
        }
        return Announcement(device, topic, payload, gone)

    def publish(self, message: Announcement, on_accepted: Callable[[], None]) -> None:
        """Publish a message, even if the broker has it already."""
        payload = DeviceAnnouncement.of(message.payload)
        self._broker.retain(message.topic, payload, on_accepted)

    def forget(self, message: Announcement) -> None:
        """Leave out from now on the entities that this message has removed."""
        known = self._announced.topics.get(message.topic, {})
        for component in message.gone:
            known.pop(component, None)

    def clear(self, topic: str, on_cleared: Callable[[], None]) -> None:
        """Remove the device that was announced at a topic, with its entities."""
        self._log.info("discovery removed", topic=topic)
        self._broker.retain(topic, b"", partial(self._on_cleared, topic, on_cleared))

    def _on_cleared(self, topic: str, on_cleared: Callable[[], None]) -> None:
        if topic in self.left:
            del self._announced.topics[topic]
            on_cleared()

    def _payload(self, device: str) -> dict[str, Any]:
        # Only loaded by a gateway that announces something.
        from healthd.mqtt.homeassistant.gateway import gateway_payload
        from healthd.mqtt.homeassistant.peripheral import PeripheralPayloads

        if device == GATEWAY:
            return gateway_payload(self._topics, self._requests)
        if self._peripherals is None:
            self._peripherals = PeripheralPayloads(self._topics, self._registry)
        seen = self._announced.peripherals.get(device)
        streams: Mapping[str, list[str]] = seen.streams if seen else {}
        facts: Mapping[str, Any] = seen.facts if seen else {}
        return self._peripherals.payload(self.entries[device], streams, facts, self._requests)
